"""Movers at a steady distance over a second."""

import numpy as np
import pytest
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.steady_movers import SteadyMovers

F, H, W, RATE = 90, 60, 80, 30
TIMES = np.arange(F) / RATE


def maps_of(distance: np.ndarray) -> dict[int, DepthFrame]:
    """A figure at a distance of its own in each frame, before a wall at 10."""
    moving = np.zeros((H, W), np.float32)
    moving[10:50, 30:50] = 1
    sure = np.ones_like(moving)
    return {
        i: DepthFrame(np.where(moving > 0, np.float32(z), np.float32(10)), sure, moving) for i, z in enumerate(distance)
    }


def steady(maps: dict[int, DepthFrame]) -> np.ndarray:
    movers = SteadyMovers(TIMES, maps)
    return np.array([movers.frame(i, maps[i]).depth[30, 40] for i in sorted(maps)])


def test_half_a_second_of_wrong_distance_is_put_right():
    distance = np.full(F, 4.0)
    distance[40:55] = 5.0  # a foot below the picture
    assert np.abs(steady(maps_of(distance)) - 4).max() < 1e-5


def test_a_steady_pace_is_kept():
    distance = 6 * np.exp(-np.arange(F) / F)
    np.testing.assert_allclose(steady(maps_of(distance)), distance, rtol=1e-5)


def test_only_movers_change_and_without_them_nothing():
    maps = maps_of(np.where(np.arange(F) == 45, 5.0, 4.0))
    out = SteadyMovers(TIMES, maps).frame(45, maps[45])
    assert (out.depth[maps[45].dynamic == 0] == 10).all()
    assert out.depth.dtype == np.float32
    still = DepthFrame(maps[0].depth, maps[0].confidence, np.zeros((H, W), np.float32))
    assert SteadyMovers(TIMES, maps).frame(45, still) is still


@pytest.mark.parametrize("there", [range(45, 46), range(45, F)])
def test_who_has_nobody_on_both_sides_keeps_its_distance(there):
    maps = maps_of(np.where(np.arange(F) == 45, 5.0, 4.0))
    maps = {i: maps[i] for i in there}
    assert SteadyMovers(TIMES, maps).frame(45, maps[45]).depth[30, 40] == 5


def test_depth_that_is_missing_has_no_say():
    maps = maps_of(np.full(F, 4.0))
    for i in range(30, 60):
        maps[i].depth[20:40] = 0
    out = steady(maps)
    assert np.isfinite(out).all() and (out[30:60] == 0).all()
