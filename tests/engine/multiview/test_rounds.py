"""Maps in agreement with neighbours' pictures and maps."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.rounds import REACH, Round
from plane_world import F, H, W

MIDDLE = F // 2


def neighbours(i: int) -> list[int]:
    return [i + k for k in (-1, -2, -3, -4, 1, 2, 3, 4) if 0 <= i + k < F]


def maps_of(world, have) -> dict[int, DepthFrame]:
    """True depth with errors of a few per cent that differ from frame to frame."""
    rng = np.random.default_rng(5)
    none = np.zeros((H, W), np.float32)
    maps = {}
    for i in have:
        coarse = np.repeat(np.repeat(rng.normal(0, 0.05, (H // 24, W // 28)), 24, 0), 28, 1)
        maps[i] = DepthFrame((world.truth(i)[0] * np.exp(coarse)).astype(np.float32), none + 0.7, none)
    return maps


def off(world, frame: DepthFrame, i: int) -> float:
    return float(np.median(np.abs(np.log(frame.depth / world.truth(i)[0]))))


@pytest.mark.parametrize("threads", [0, 2])
def test_two_rounds_take_most_of_the_error_away_and_ask_for_each_map_once(world, frames, threads):
    maps, asked = maps_of(world, range(F)), []

    def single(i):
        asked.append(i)
        return maps[i]

    with ThreadPoolExecutor(2) as pool:
        first = Round(frames, single, lambda i: neighbours(i)[::2], pool if threads else None)
        second = Round(frames, {i: first.frame(i) for i in range(F)}.get, lambda i: neighbours(i)[1::2])
        after = [off(world, second.frame(i), i) for i in range(F)]
    assert np.mean(after) < 0.5 * np.mean([off(world, maps[i], i) for i in range(F)])
    assert sorted(asked) == list(range(F))


def test_frames_without_a_map_stay_without_and_the_others_do_with_what_there_is(world, frames):
    maps = maps_of(world, (3, MIDDLE))
    made = Round(frames, maps.get, neighbours)
    assert made.frame(2) is None
    assert made.frame(MIDDLE).depth.shape == (H, W)


def test_no_neighbour_no_sweep(world, frames):
    maps = maps_of(world, (MIDDLE,))
    alone = Round(frames, maps.get, lambda i: []).frame(MIDDLE)
    np.testing.assert_allclose(alone.depth, maps[MIDDLE].depth, rtol=1e-6)


def test_what_lies_behind_is_forgotten(world, frames):
    made = Round(frames, maps_of(world, range(F)).get, neighbours)
    for i in range(F):
        made.frame(i)
        assert len(made.swept) <= 2 * REACH + 1
        assert min(made.swept) >= i - REACH
