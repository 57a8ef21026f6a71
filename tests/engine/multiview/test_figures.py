"""Movers as whole figures."""

from dataclasses import replace

import numpy as np
import pytest
from geo4d.geometry.camera import Intrinsics
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.figures import whole
from geo4d.multiview.ground import Floor

W, H, FAR, AWAY = 160, 120, 8.0, 4.0
LENS = Intrinsics(W, H, 130.0, 130.0, W / 2, H / 2)
FLOOR = Floor(np.array([0.0, -1.0, 0.0]), 0.0)
C2W = np.eye(4)
C2W[1, 3] = -1.5  # the world's y points down: a metre and a half above the floor


@pytest.fixture
def scene():
    """A figure 4 m away on a floor before a wall at 8 m, its trunk corrected to two thirds of that."""
    static = np.maximum(FLOOR.inverse_depth(C2W, LENS), 1 / FAR).astype(np.float32)
    feet = round(LENS.cy + 1.5 / AWAY * LENS.fy)
    mask = np.zeros((H, W), bool)
    mask[feet - 60 : feet, 70:90] = True
    depth = (1 / static).copy()
    depth[mask] = 3.9
    depth[feet - 60 : feet - 30, 70:90] = AWAY * 2 / 3
    return DepthFrame(depth.astype(np.float32), np.where(mask, 0, 1).astype(np.float32), mask.astype(np.float32)), mask


def test_a_figure_that_was_taken_apart_stands_where_its_feet_are(scene):
    frame, mask = scene
    out = whole(frame, frame.dynamic, FLOOR, C2W, LENS)
    assert np.ptp(out.depth[mask]) < 0.02
    assert np.median(out.depth[mask]) == pytest.approx(AWAY, rel=0.06)
    assert np.array_equal(out.depth[~mask], frame.depth[~mask])
    assert np.array_equal(out.dynamic, frame.dynamic) and np.array_equal(out.confidence, frame.confidence)


def test_a_figure_whose_feet_nobody_sees_keeps_its_distance(scene):
    _, mask = scene
    # Cut off by the lower edge, before a wall: all that is known is that it stands before that.
    low, far = np.roll(mask, H, axis=0), np.float32(FAR)
    low[-60:] = mask[np.flatnonzero(mask.any(axis=1))]
    depth = np.where(low, np.float32(AWAY / 2), far)
    out = whole(DepthFrame(depth, 1 - low, low.astype(np.float32)), low.astype(np.float32), None, C2W, LENS)
    assert np.ptp(out.depth[low]) == 0
    assert np.median(out.depth[low]) == pytest.approx(AWAY / 2, rel=0.07)


def test_without_movers_nothing_changes(scene):
    frame, _ = scene
    still = replace(frame, dynamic=np.zeros_like(frame.dynamic))
    assert whole(still, frame.dynamic, FLOOR, C2W, LENS) is still


def test_what_has_been_added_does_not_speak_for_a_figure(scene):
    frame, mask = scene
    nowhere = replace(frame, depth=np.where(mask, 2.5, FAR).astype(np.float32))  # no floor in sight
    rows = np.flatnonzero(mask.any(axis=1))
    before = mask.astype(np.float32)
    before[rows[0] + 20 :] = 0
    nowhere.depth[rows[0] + 20 :, 70:90] = FAR  # most of it was taken for the wall until now
    grown = whole(nowhere, before, None, C2W, LENS)
    assert np.median(grown.depth[mask]) < 4
    assert np.median(whole(nowhere, mask.astype(np.float32), None, C2W, LENS).depth[mask]) > 6
    # But where hardly anything was found before, all of it speaks.
    before[rows[0] + 2 :] = 0
    assert np.median(whole(nowhere, before, None, C2W, LENS).depth[mask]) > 6


def test_a_figure_that_the_picture_cuts_off_is_no_farther_than_the_floor_at_its_edge():
    floor = (1 / np.maximum(FLOOR.inverse_depth(C2W, LENS), 1 / FAR)).astype(np.float32)
    mask = np.zeros((H, W), bool)
    mask[30:, 70:90] = True
    at_edge = float(floor[-1].min())
    for said, expected in ((0.8 * at_edge, 0.8 * at_edge), (1.5 * at_edge, at_edge)):
        depth = np.where(mask, np.float32(said), floor)
        out = whole(DepthFrame(depth, 1 - mask, mask.astype(np.float32)), mask.astype(np.float32), FLOOR, C2W, LENS)
        assert np.median(out.depth[mask]) == pytest.approx(expected, rel=0.03)


def test_a_figure_behind_a_bollard_does_not_stand_where_the_bollard_does(scene):
    frame, mask = scene
    rows = np.flatnonzero(mask.any(axis=1))
    near = 3.4
    foot = round(LENS.cy + 1.5 / near * LENS.fy)
    bollard = np.zeros_like(mask)
    bollard[rows[-1] - 11 : foot, 68:92] = True
    figure = mask & ~bollard
    depth = np.where(bollard, near, np.where(figure, AWAY, frame.depth)).astype(np.float32)
    out = whole(
        replace(frame, depth=depth, dynamic=figure.astype(np.float32)), figure.astype(np.float32), FLOOR, C2W, LENS
    )
    # Its feet cannot be seen: it stands behind the bollard, as far as the floor where it is seen last.
    last = float(1 / FLOOR.inverse_depth(C2W, LENS)[np.flatnonzero(figure.any(axis=1))[-1] + 1].min())
    assert AWAY < last < 1.4 * AWAY
    assert np.median(out.depth[figure]) == pytest.approx(last, rel=0.03)
    # A leg that may be its own is followed down to its foot.
    leg = frame.dynamic.copy()
    leg[bollard] = 0.2
    out = whole(replace(frame, depth=depth, dynamic=np.where(figure, 1, leg)), mask, FLOOR, C2W, LENS)
    assert np.median(out.depth[figure]) == pytest.approx(near, rel=0.1)


@pytest.mark.parametrize(("sure", "belongs"), [(0.2, True), (0.9, False)])
def test_what_hovers_within_a_figure_is_part_of_it_unless_it_was_seen_well(scene, sure, belongs):
    frame, mask = scene
    rows = np.flatnonzero(mask.any(axis=1))
    gap = np.zeros_like(mask)
    gap[rows[0] + 20 : rows[0] + 24, 76:84] = True
    depth, confidence = frame.depth.copy(), frame.confidence.copy()
    depth[mask], depth[gap], confidence[gap] = AWAY, AWAY / 2, sure
    moving = np.where(gap, 0, frame.dynamic).astype(np.float32)
    out = whole(DepthFrame(depth, confidence, moving), moving, FLOOR, C2W, LENS)
    assert ((out.dynamic[gap] > 0.5) == belongs).all()
    assert np.median(out.depth[gap]) == pytest.approx(AWAY if belongs else AWAY / 2, rel=0.06)
    # The scene behind that shows through a gap stays.
    depth[gap] = FAR
    through = whole(DepthFrame(depth, confidence, moving), moving, FLOOR, C2W, LENS)
    assert (through.depth[gap] == FAR).all()
