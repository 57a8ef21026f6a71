"""Maps in agreement with neighbours' pictures and maps."""

import numpy as np
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.rounds import REACH, Rounds
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


def test_two_rounds_take_most_of_the_error_away_and_ask_for_each_map_once(world, frames):
    maps, asked = maps_of(world, range(F)), []

    def single(i):
        asked.append(i)
        return maps[i]

    rounds = Rounds(frames, single, neighbours)
    after = [off(world, rounds.frame(i), i) for i in range(F)]
    assert np.mean(after) < 0.5 * np.mean([off(world, maps[i], i) for i in range(F)])
    assert sorted(asked) == list(range(F))
    assert REACH >= 12


def test_frames_without_a_map_stay_without_and_the_others_do_with_what_there_is(world, frames):
    maps = maps_of(world, (3, MIDDLE))
    rounds = Rounds(frames, maps.get, neighbours)
    assert rounds.frame(2) is None
    assert rounds.frame(MIDDLE).depth.shape == (H, W)


def test_no_neighbour_no_sweep(world, frames):
    maps = maps_of(world, (MIDDLE,))
    alone = Rounds(frames, maps.get, lambda i: []).frame(MIDDLE)
    np.testing.assert_allclose(alone.depth, maps[MIDDLE].depth, rtol=1e-6)
