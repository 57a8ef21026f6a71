"""Movers as whole figures."""

from dataclasses import replace

import numpy as np
import pytest
from geo4d.geometry.camera import Intrinsics
from geo4d.multiview.composition import Composition
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.figures import joined, whole
from geo4d.multiview.ground import Floor

W, H, FAR, AWAY = 160, 120, 8.0, 4.0
LENS = Intrinsics(W, H, 130.0, 130.0, W / 2, H / 2)
FLOOR = Floor(np.array([0.0, -1.0, 0.0]), 0.0)
C2W = np.eye(4)
C2W[1, 3] = -1.5  # the world's y points down: a metre and a half above the floor


@pytest.fixture
def scene():
    """A figure 4 m away on a floor before a wall at 8 m, its trunk corrected to two thirds of that."""
    d_floor = FLOOR.inverse_depth(C2W, LENS)
    static = np.maximum(d_floor, 1 / FAR).astype(np.float32)
    feet = round(LENS.cy + 1.5 / AWAY * LENS.fy)
    mask = np.zeros((H, W), bool)
    mask[feet - 60 : feet, 70:90] = True
    depth = (1 / static).copy()
    depth[mask] = 3.9
    depth[feet - 60 : feet - 30, 70:90] = AWAY * 2 / 3
    weight = np.where(mask, 0, 1).astype(np.float32)
    moving = mask.astype(np.float32)
    composition = Composition(static, weight, static, d_floor, static.copy(), weight, moving)
    return DepthFrame(depth.astype(np.float32), weight, moving), composition, mask


def test_a_figure_that_was_taken_apart_stands_where_its_feet_are(scene):
    frame, composition, mask = scene
    out = whole(frame, composition, FLOOR, C2W, LENS)
    assert np.ptp(out.depth[mask]) < 0.02
    assert np.median(out.depth[mask]) == pytest.approx(AWAY, rel=0.06)
    assert np.array_equal(out.depth[~mask], frame.depth[~mask])


def test_a_figure_whose_feet_nobody_sees_keeps_the_networks_distance(scene):
    frame, composition, mask = scene
    hidden = Composition(
        composition.measured,
        np.zeros_like(composition.weight),
        np.full_like(composition.static, 1 / FAR),
        None,
        composition.d,
        composition.confidence,
        composition.moving,
    )
    out = whole(frame, hidden, None, C2W, LENS)
    assert np.median(out.depth[mask]) == pytest.approx(np.median(frame.depth[mask]), rel=0.2)


def test_without_movers_nothing_changes(scene):
    frame, composition, _ = scene
    still = DepthFrame(frame.depth, frame.confidence, np.zeros_like(frame.dynamic))
    calm = replace(composition, moving=np.zeros_like(composition.moving))
    assert whole(still, calm, FLOOR, C2W, LENS) is still


def test_what_surely_moves_stays_a_mover_though_the_network_doubts_it(scene):
    frame, composition, mask = scene
    doubted = DepthFrame(
        frame.depth, frame.confidence, np.where(frame.depth < 3, 0.1, frame.dynamic).astype(np.float32)
    )
    out = whole(doubted, composition, FLOOR, C2W, LENS)
    assert (out.dynamic[mask] > 0.5).all()
    assert np.median(out.depth[mask]) == pytest.approx(AWAY, rel=0.06)
    unsure = replace(composition, moving=0.7 * composition.moving)
    assert whole(doubted, unsure, FLOOR, C2W, LENS).dynamic.min() == doubted.dynamic.min()
    assert (whole(doubted, unsure, FLOOR, C2W, LENS).dynamic[mask] < 0.5).any()


def test_a_figure_that_has_grown_is_one_again_at_the_median_of_its_parts(scene):
    frame, _, mask = scene
    rows = np.flatnonzero(mask.any(axis=1))
    depth = np.where(mask, AWAY, frame.depth).astype(np.float32)
    depth[rows[0] : rows[0] + 20, 70:90] = FAR  # a head that was taken for the wall until now
    for floor in (FLOOR, None):
        out = joined(replace(frame, depth=depth), floor, C2W, LENS)
        assert np.ptp(out.depth[mask]) < 0.02
        assert np.median(out.depth[mask]) == pytest.approx(AWAY, rel=0.02)
        assert np.array_equal(out.depth[~mask], depth[~mask])
    calm = replace(frame, dynamic=np.zeros_like(frame.dynamic))
    assert joined(calm, FLOOR, C2W, LENS) is calm
