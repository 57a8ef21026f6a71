"""Depth moved to where neighbouring pictures confirm it."""

import numpy as np
import pytest
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.fine_sweep import fine_sweep
from plane_world import F, W

MIDDLE = F // 2
NEIGHBOURS = [MIDDLE - 4, MIDDLE - 2, MIDDLE + 2, MIDDLE + 4]


def off(frame: DepthFrame, truth: np.ndarray) -> np.ndarray:
    return np.abs(np.log(frame.depth / truth))


def guess(truth: np.ndarray, factor, dynamic: float = 0.0) -> DepthFrame:
    depth = (truth * factor).astype(np.float32)
    return DepthFrame(depth, np.full_like(depth, 0.7), np.full_like(depth, dynamic))


@pytest.mark.parametrize("factor", [0.93, 0.96, 1.04, 1.08])
def test_depth_a_little_off_comes_closer(world, frames, factor):
    truth, _ = world.truth(MIDDLE)
    before = guess(truth, factor)
    after = fine_sweep(MIDDLE, before, frames, NEIGHBOURS)
    assert after.depth.dtype == np.float32
    assert np.median(off(after, truth)) < 0.8 * np.median(off(before, truth))
    np.testing.assert_array_equal(after.confidence, before.confidence)


def test_right_depth_stays(world, frames):
    truth, _ = world.truth(MIDDLE)
    after = fine_sweep(MIDDLE, guess(truth, 1.0), frames, NEIGHBOURS)
    assert np.median(off(after, truth)) < 0.004


def test_an_edge_drawn_too_wide_moves_back(world, frames):
    truth, _ = world.truth(MIDDLE)
    columns = np.arange(W)
    wide = np.where((columns > W // 2) & (columns < W // 2 + 4), 0.85, 1.0)
    before = guess(truth, wide)
    after = fine_sweep(MIDDLE, before, frames, NEIGHBOURS)
    band = np.broadcast_to(wide < 1, truth.shape)
    assert np.median(off(after, truth)[band]) < 0.6 * np.median(off(before, truth)[band])


def test_what_moves_and_what_no_picture_tells_stays(world, frames):
    truth, _ = world.truth(MIDDLE)
    moving = guess(truth, 1.05, dynamic=0.6)
    np.testing.assert_array_equal(fine_sweep(MIDDLE, moving, frames, NEIGHBOURS).depth, moving.depth)
    still = guess(truth, 1.05)
    assert fine_sweep(MIDDLE, still, frames, []) is still
    plain = type(frames)(np.full_like(frames.rgb, 128), frames.lenses, frames.c2w, frames.inside)
    after = fine_sweep(MIDDLE, still, plain, NEIGHBOURS)
    assert np.median(off(after, still.depth)) < 0.002, "steps to either side say the same"
