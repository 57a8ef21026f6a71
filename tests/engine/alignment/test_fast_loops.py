"""Places seen again take back the drift on the way there; where nothing drifted, nothing is moved."""

from dataclasses import replace

import numpy as np
import pytest
from geo4d.alignment import fast
from geo4d.alignment.loops import close_loops
from geo4d.alignment.residuals import Spreads
from geo4d.evaluation.pose_metrics import compare_paths
from geo4d.geometry.rotation import rotations_from_vectors
from geo4d.progress import Silent
from hall import hall_shot
from simulated_windows import EXACT, Errors, SimulatedWindows

SIZE = (48, 32)
FRAMES = 72


@pytest.fixture(scope="module")
def shot():
    """A walk into the hall and, backwards, out of it."""
    return hall_shot(FRAMES, SIZE, step=0.15, with_ball=False, back=True)


def aligned(shot, errors, monkeypatch, change):
    """The alignment's path, and the world before loops were closed, with ``change`` in between."""

    def changed(samples, world, spreads):
        return change(samples, world, spreads)

    with monkeypatch.context() as patch:
        patch.setattr(fast, "close_loops", changed)
        windows = SimulatedWindows(shot, SIZE, errors, ("points",), 8, 3)
        return fast.align(windows, len(shot), shot.footage_size, Silent())


def path_error(world, shot) -> float:
    c2w = np.tile(np.eye(4), (len(world.R), 1, 1))
    c2w[:, :3, :3], c2w[:, :3, 3] = world.R, world.c
    return compare_paths(c2w, shot.c2w).ate


def drifted(samples, world, steps):
    """The world with a scale and a heading that grow along the shot, as windows placed one on another do."""
    new = world.copy()
    growth, turn = np.exp(0.1 * steps / FRAMES), rotations_from_vectors([0.0, 0.03 / FRAMES, 0.0] * steps[:, None])
    step = np.diff(world.c, axis=0)
    new.c[1:] = world.c[0] + np.cumsum(growth[1:, None] * (turn[1:] @ step[..., None])[..., 0], axis=0)
    new.R = turn @ world.R
    for g, frames in enumerate(samples.frames):
        middle = frames[len(frames) // 2]
        new.scale[g] = growth[middle] * world.scale[g]
        new.rotation[g] = turn[middle] @ world.rotation[g]
        arm = turn[middle] @ (world.shift[g] - world.c[middle])
        new.shift[g] = new.c[middle] + growth[middle] * arm
    return new


@pytest.mark.parametrize("errors", [replace(EXACT, noise=0.005), Errors()], ids=["sure", "unsure"])
def test_drift_is_taken_back(shot, errors, monkeypatch):
    seen = {}

    def look(samples, world, spreads):
        wrong = drifted(samples, world, np.arange(FRAMES, dtype=float))
        right, seen["loops"] = close_loops(samples, wrong, Spreads(0.001, 0.02))
        seen["before"], seen["after"] = path_error(wrong, shot), path_error(right, shot)
        for name in ("scale", "rotation", "shift"):
            assert np.isfinite(getattr(right, name)).all()
        return world, 0

    aligned(shot, errors, monkeypatch, look)
    assert seen["loops"] > 5
    assert seen["after"] < 0.8 * seen["before"]


def test_windows_follow_their_frames(shot, monkeypatch):
    def look(samples, world, spreads):
        right, _ = close_loops(samples, drifted(samples, world, np.arange(FRAMES, dtype=float)), Spreads(0.001, 0.02))
        for g, frames in enumerate(samples.frames):
            f, m = frames[4], samples.slots[g][4]
            X = right.scale[g] * samples.points[f, m] @ right.rotation[g].T + right.shift[g]
            Y = (X - right.c[f]) @ right.R[f]
            assert np.median(np.abs(Y[:, :2] / Y[:, 2:] - samples.xy / right.focal[f])) < 0.01
        return world, 0

    aligned(shot, replace(EXACT, noise=0.005), monkeypatch, look)


def test_what_is_exact_stays_exact(shot, monkeypatch):
    found = aligned(shot, EXACT, monkeypatch, close_loops)
    assert compare_paths(found.solve.c2w, shot.c2w).ate_percent < 0.01
