"""Maps in agreement with those of the seconds around."""

import numpy as np
import pytest
from geo4d.multiview.consensus import Consensus, robust_mean
from geo4d.multiview.depth_frame import DepthFrame
from plane_world import F, H, W

TIMES = np.arange(F) * 0.2  # as if filmed slowly: each frame is a key frame


def maps_of(world, error: float, dynamic: float = 0.0) -> dict[int, DepthFrame]:
    """True depth; every frame is off by a factor of its own."""
    factors = np.exp(np.random.default_rng(3).normal(0, error, F))
    none = np.zeros((H, W), np.float32)
    return {
        i: DepthFrame((world.truth(i)[0] * factors[i]).astype(np.float32), none + 0.7, none + np.float32(dynamic))
        for i in range(F)
    }


def off(world, maps: dict[int, DepthFrame]) -> float:
    return float(np.mean([np.abs(np.log(maps[i].depth / world.truth(i)[0])).mean() for i in maps]))


def agreed(frames, maps: dict[int, DepthFrame], times=TIMES, tolerance: float = 0.3) -> dict[int, DepthFrame]:
    consensus = Consensus(frames, times, maps, tolerance)
    return {i: consensus.frame(i, maps[i]) for i in maps}


def test_errors_that_differ_from_frame_to_frame_go(world, frames):
    maps = maps_of(world, 0.06)
    after = agreed(frames, maps)
    assert off(world, after) < 0.4 * off(world, maps)
    for i, frame in after.items():
        assert frame.depth.dtype == np.float32 and frame.depth.shape == (H, W)
        np.testing.assert_array_equal(frame.confidence, maps[i].confidence)


def test_what_is_true_stays_also_at_edges(world, frames):
    maps = maps_of(world, 0.0)
    after = agreed(frames, maps)
    assert off(world, after) < 0.002


def test_one_frame_that_is_wrong_does_not_spoil_the_others(world, frames):
    maps = maps_of(world, 0.0)
    maps[5] = DepthFrame(maps[5].depth * 1.2, maps[5].confidence, maps[5].dynamic)
    after = agreed(frames, maps)
    assert np.abs(np.log(after[4].depth / world.truth(4)[0])).mean() < 0.004
    assert np.abs(np.log(after[5].depth / world.truth(5)[0])).mean() < 0.06


def test_what_moves_neither_asks_nor_answers(world, frames):
    maps = maps_of(world, 0.06, dynamic=1.0)
    after = agreed(frames, maps)
    for i in maps:
        np.testing.assert_allclose(after[i].depth, maps[i].depth, rtol=1e-6)


def test_frames_without_depth_or_company_stay_as_they_are(world, frames):
    maps = maps_of(world, 0.06)
    none = np.zeros((H, W), np.float32)
    maps[4] = DepthFrame(none, none, none)
    after = agreed(frames, maps)
    assert not after[4].depth.any()
    assert off(world, {i: after[i] for i in after if i != 4}) < 0.4 * off(world, {i: maps[i] for i in maps if i != 4})
    far_apart = agreed(frames, {i: maps[i] for i in (0, 5)}, times=np.arange(F) * 10.0)
    np.testing.assert_array_equal(far_apart[0].depth, maps[0].depth)
    # One frame a picture and no time between them: nothing to divide by.
    np.testing.assert_array_equal(agreed(frames, {0: maps[0]}, times=np.zeros(F))[0].depth, maps[0].depth)


def test_key_frames_long_past_are_forgotten(world, frames):
    maps = maps_of(world, 0.03)
    consensus = Consensus(frames, np.arange(F) * 1.0, maps, 0.3)
    for i in range(F):
        consensus.frame(i, maps[i])
        assert all(i - j <= 3 for j in consensus._keys.kept)


@pytest.mark.parametrize("wrong", [0.3, -0.5])
def test_robust_mean_follows_the_many(wrong):
    layers = np.full((9, 1, 1), 0.04, np.float32)
    layers[:2] = wrong
    mean = robust_mean(layers, np.ones_like(layers))
    assert abs(float(mean[0, 0]) - 0.035) < 0.015
    assert float(robust_mean(layers, np.zeros_like(layers))[0, 0]) == 0
