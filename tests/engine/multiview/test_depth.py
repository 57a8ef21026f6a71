"""Dense depth of small worlds with exact truth, through the public call."""

import numpy as np
import pytest
from geo4d.errors import Cancelled, OutputError
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


class Counting(Silent):
    """Notes every call, and cancels where it is told to."""

    def __init__(self, stop: tuple[str, int] | None = None):
        super().__init__()
        self.calls, self.resumed, self.stop = [], [], stop

    def advance(self, stage, done, total):
        self.calls.append((stage, done, total))
        if (stage, done) == self.stop:
            raise Cancelled()

    def resume(self, stage, done, total):
        self.resumed.append((stage, done, total))


def finished(world: World, progress: Counting, folder=None, have=frozenset()) -> dict:
    return dict(estimate_depth(world, world.solve(), no_tracks(), (W, H), progress, have, folder=folder))


def test_progress_counts_every_pass_and_a_stopped_run_goes_on_in_each(tmp_path):
    world, whole = World(), Counting()
    expected = finished(world, whole, tmp_path / "whole")
    assert whole.resumed == [("depth", 0, F), ("agree", 0, 2 * F)]
    assert whole.calls == [("depth", k, F) for k in range(F + 1)] + [("agree", k, 2 * F) for k in range(1, 2 * F + 1)]
    folder, made = tmp_path / "stopped", {}
    for stop in (("depth", 3), ("agree", 5), ("agree", F + 4)):
        with pytest.raises(Cancelled):
            progress = Counting(stop)
            again = estimate_depth(world, world.solve(), no_tracks(), (W, H), progress, set(made), folder=folder)
            for i, frame in again:
                made[i] = frame
    assert progress.resumed == [("agree", 5, 2 * F)]
    assert list(made) == [0, 1, 2, 3], "the third pass yields frame by frame"
    last = Counting()
    made |= finished(world, last, folder, set(made))
    assert last.resumed == [("agree", F, 2 * F - 4)], "neither of the first passes is made again"
    for i in range(F):
        np.testing.assert_allclose(made[i].depth, expected[i].depth, rtol=1e-5)


def test_a_torn_draft_is_named_and_made_anew(tmp_path):
    world = World()
    with pytest.raises(Cancelled):
        finished(world, Counting(("depth", 3)), tmp_path)
    torn = tmp_path / "drafts" / "000001.npz"
    torn.write_bytes(torn.read_bytes()[:1000])
    with pytest.raises(OutputError, match=r"000001\.npz cannot be read"):
        finished(world, Counting(), tmp_path)
    assert len(finished(world, Counting(), tmp_path)) == F


def test_depth_size():
    assert depth_size(1920, 1080) == (448, 252)
    assert depth_size(720, 960) == (336, 448)
    assert depth_size(200, 100) == (200, 100)
    assert depth_size(640, 360, long_side=320) == (320, 180)
    with pytest.raises(ValueError, match="positive"):
        depth_size(0, 100)
