"""Agreement of neighbouring frames: disturbances that differ from frame to frame go, shape, edges and movers stay."""

import cv2
import numpy as np
import pytest
from geo4d.multiview import settling
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.working_frames import WorkingFrames
from plane_world import F, H, W, World


@pytest.fixture(scope="module")
def world():
    return World()


def maps_of(world, disturb):
    """True maps times a factor for each frame and pixel; nothing moves."""
    still, sure = np.zeros((H, W), np.float32), np.ones((H, W), np.float32)
    return {i: DepthFrame((world.truth(i)[0] * disturb(i)).astype(np.float32), sure, still) for i in range(F)}


def settled(world, maps, i=F // 2):
    frames = WorkingFrames(np.zeros((F, H, W, 3), np.uint8), [world.lens] * F, world.c2w, np.ones((H, W), bool))
    return settling.settle(i, {j: settling.Known(j, frame) for j, frame in maps.items()}, frames)


def test_maps_that_agree_stay_as_they_are(world):
    truth, _ = world.truth(F // 2)
    got = settled(world, maps_of(world, lambda i: 1.0)).depth
    off = np.abs(got / truth - 1)
    assert np.median(off) < 1e-4
    assert np.mean(off > 0.01) < 0.04, "only the rim of the card may mix"


def test_what_differs_from_frame_to_frame_is_averaged(world):
    """One frame is off by 4 %: of eleven that are asked, it is one."""
    x = np.linspace(-1, 1, W)[None]

    def disturb(i):
        return np.exp(0.04 * (i == F // 2) * (1 + 0.2 * np.sin(3 * x))) * np.ones((H, 1))

    truth, _ = world.truth(F // 2)
    off = np.log(settled(world, maps_of(world, disturb)).depth / truth)
    assert np.median(np.abs(off)) == pytest.approx(0.04 / F, rel=0.2)


def moving_maps(world, level):
    """A mover in the left of the picture whose depth is the truth's times a factor for each frame."""
    maps = maps_of(world, lambda i: 1.0)
    for i, frame in maps.items():
        frame.dynamic = np.zeros((H, W), np.float32)
        frame.dynamic[:, :100] = 1
        frame.depth[:, :100] = 2.0 * level(i)
    return maps


def test_a_mover_whose_distance_jumps_in_one_frame_is_put_back(world):
    i = F // 2
    maps = moving_maps(world, lambda j: 1.3 if j == i else 1.0)
    maps[i].depth[:10, :100] *= 1.1  # its shape stays
    got = settled(world, maps).depth
    np.testing.assert_allclose(got[20:, :100], 2.0, rtol=1e-5)
    np.testing.assert_allclose(got[:10, :100], 2.2, rtol=1e-5)


def test_a_mover_that_comes_nearer_is_not_held_back(world):
    i = F // 2
    got = settled(world, moving_maps(world, lambda j: 0.95**j))
    np.testing.assert_allclose(got.depth[:, :100], 2.0 * 0.95**i, rtol=1e-5)


def test_movers_that_no_neighbour_shows_and_missing_depth_are_left_alone(world):
    maps = maps_of(world, lambda i: 1 + 0.02 * (-1) ** i)
    i = F // 2
    maps[i].depth[:40] = 0
    maps[i].dynamic = np.zeros((H, W), np.float32)
    maps[i].dynamic[:, :100] = 1
    got = settled(world, maps)
    np.testing.assert_array_equal(got.depth[:, :100], maps[i].depth[:, :100])
    assert (got.depth[:40] == 0).all()
    assert (got.depth[60:, 110:] != maps[i].depth[60:, 110:]).mean() > 0.9
    assert got.dynamic is maps[i].dynamic and got.confidence is maps[i].confidence


def test_an_occluder_keeps_its_depth(world):
    """The card stands at half the wall's depth: neighbours that see the wall beside it have no say."""
    truth, card = world.truth(F // 2)
    inner = cv2.erode(card.astype(np.uint8), np.ones((3, 3))) > 0
    got = settled(world, maps_of(world, lambda i: 1.0)).depth
    assert inner.sum() > 500
    assert np.abs(got / truth - 1)[inner].max() < 0.02


def test_a_neighbour_without_depth_has_no_say(world):
    i = F // 2
    maps = {k: m for k, m in maps_of(world, lambda k: 1.0 if k == i else 1.05).items() if k in (i, i + 1)}
    maps[i + 1].depth[:] = 0
    np.testing.assert_allclose(settled(world, maps).depth, maps[i].depth)
