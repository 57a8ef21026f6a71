"""Dense depth of small worlds with exact truth, through the public call."""

import numpy as np
import pytest
from geo4d.errors import Cancelled
from geo4d.multiview.depth import depth_size, estimate_depth
from geo4d.progress import Silent
from geo4d.tracking.tracks import Tracks
from plane_world import F, H, W, World

MIDDLE = F // 2


def no_tracks() -> Tracks:
    none = np.zeros(0, np.int32)
    return Tracks(W, H, F, none, none, np.zeros((0, 2), np.float32), np.zeros(0, np.float32))


def only(world: World, position: int, motion: str = "moving", tracks: Tracks | None = None):
    have = frozenset(range(F)) - {position}
    frames = list(estimate_depth(world, world.solve(motion), tracks or no_tracks(), (W, H), Silent(), have))
    assert [i for i, _ in frames] == [position]
    return frames[0][1]


def abs_rel(depth: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    return float(np.mean(np.abs(depth - truth)[where] / truth[where]))


@pytest.mark.parametrize("k1", [0.0, -0.12])
def test_static_world(k1):
    world = World(k1=k1)
    frame = only(world, MIDDLE)
    truth, _ = world.truth(MIDDLE)
    everywhere = np.ones_like(truth, dtype=bool)
    assert frame.depth.shape == (H, W) and frame.depth.dtype == np.float32
    assert np.all(np.isfinite(frame.depth)) and np.all(frame.depth > 0)
    assert abs_rel(frame.depth, truth, everywhere) < 0.04
    sure = frame.confidence > 0.5
    assert sure.mean() > 0.25
    assert abs_rel(frame.depth, truth, sure) < 0.025
    assert np.mean(frame.dynamic > 0.5) < 0.03
    # A single depth for all would be far worse, so the number above is a measurement.
    assert abs_rel(np.full_like(truth, np.median(truth)), truth, everywhere) > 0.15


def test_lens_distortion_is_taken_out():
    world = World(k1=-0.12)
    truth, _ = world.truth(0)
    right = only(world, 0).depth
    world.lens = world.lens.__class__(W, H, 190.0, 190.0, W / 2, H / 2, -0.12)
    ignoring = world.solve()
    ignoring.k1 = 0.0
    wrong = next(estimate_depth(world, ignoring, no_tracks(), (W, H), Silent(), frozenset(range(1, F))))[1].depth
    everywhere = np.ones_like(truth, dtype=bool)
    assert abs_rel(right, truth, everywhere) < 0.75 * abs_rel(wrong, truth, everywhere)


@pytest.mark.parametrize("with_tracks", [False, True])
def test_mover_is_found_and_stands_on_the_floor(with_tracks):
    world = World(card_step=0.06)
    frame = only(world, MIDDLE, tracks=world.tracks() if with_tracks else None)
    truth, card = world.truth(MIDDLE)
    found = frame.dynamic > 0.5
    assert np.sum(found & card) / np.sum(found | card) > 0.6
    assert abs_rel(frame.depth, truth, card) < 0.15
    assert abs_rel(frame.depth, truth, ~card) < 0.06
    assert np.median(frame.confidence[card]) < np.median(frame.confidence[~card])


def test_resume_makes_only_what_is_missing():
    world = World()
    have = frozenset(range(F)) - {2, 7}
    frames = dict(estimate_depth(world, world.solve(), no_tracks(), (W, H), Silent(), have))
    assert list(frames) == [2, 7]
    alone = only(world, 7)
    np.testing.assert_array_equal(alone.depth, frames[7].depth)
    assert list(estimate_depth(world, world.solve(), no_tracks(), (W, H), Silent(), frozenset(range(F)))) == []


@pytest.mark.parametrize("motion", ["tripod", "static"])
def test_no_depth_without_parallax(motion):
    world = World(card_step=0.06, travel=0.0)
    frame = only(world, MIDDLE, motion)
    _, card = world.truth(MIDDLE)
    assert not frame.depth.any() and not frame.confidence.any()
    found = frame.dynamic > 0.5
    assert np.sum(found & card) / np.sum(found | card) > 0.6


def test_progress_counts_every_frame_and_cancels():
    class Stopping(Silent):
        def __init__(self):
            super().__init__()
            self.calls = []

        def advance(self, stage, done, total):
            self.calls.append((stage, done, total))
            if done == 3:
                raise Cancelled()

    world, progress = World(), Stopping()
    made = []
    with pytest.raises(Cancelled):
        for position, _ in estimate_depth(world, world.solve(), no_tracks(), (W, H), progress):
            made.append(position)
    assert progress.calls == [("depth", k, F) for k in range(4)]
    assert made == [0, 1, 2]


def test_depth_size():
    assert depth_size(1920, 1080) == (448, 252)
    assert depth_size(720, 960) == (336, 448)
    assert depth_size(200, 100) == (200, 100)
    assert depth_size(640, 360, long_side=320) == (320, 180)
    with pytest.raises(ValueError, match="positive"):
        depth_size(0, 100)
