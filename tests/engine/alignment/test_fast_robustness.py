"""Whatever windows hold, what comes out is finite, and what is wrong is said."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from geo4d.alignment.fast import align
from geo4d.errors import SolveError
from geo4d.evaluation.pose_metrics import compare_paths
from geo4d.models.prediction import Prediction
from geo4d.progress import Silent
from hall import hall_shot
from simulated_windows import Errors, SimulatedWindows

SIZE = (36, 24)
FRAMES = 20
MODALITIES = {"points": ("points", "disparity", "rays"), "depth": ("depth",)}
MAPS = ("points", "points_weight", "disparity", "depth", "confidence", "ray_direction", "ray_moment", "c2w", "fx", "fy")


@pytest.fixture(scope="module")
def walk():
    return hall_shot(FRAMES, SIZE)


def windows_of(shot, kind="points", outliers=0.1, **options) -> list[Prediction]:
    errors = replace(Errors(), outliers=outliers)
    options = {"length": 8, "stride": 3, **options}
    windows = SimulatedWindows(shot, SIZE, errors, MODALITIES[kind], **options)
    return [windows[g] for g in range(len(windows))]


def spoil(window: Prediction, change, names=MAPS) -> None:
    for name in names:
        if getattr(window, name) is not None:
            setattr(window, name, change(getattr(window, name)))


def run(windows, shot, frames=None):
    """The alignment, finite and without a single invalid operation, and its warnings by code."""
    progress = Silent()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = align(windows, frames or len(shot), shot.footage_size, progress)
    solve = found.solve
    for values in (found.depth, found.confidence, found.dynamic, solve.c2w, solve.fx, solve.fy, solve.points):
        assert np.isfinite(values).all()
    assert found.depth.min() >= 0 and (solve.fx > 0).all()
    R = solve.c2w[:, :3, :3]
    assert np.allclose(R @ np.swapaxes(R, 1, 2), np.eye(3), atol=1e-9)
    return found, {code: text for code, text, _ in progress.warnings}


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1.0, -1.0, 1e30])
@pytest.mark.parametrize("kind", MODALITIES)
def test_a_window_of_one_value_is_named_and_left_out(walk, kind, value):
    windows = windows_of(walk, kind)
    spoil(windows[2], lambda a: np.full_like(a, value))
    found, said = run(windows, walk)
    assert found.statistics["windows_failed"] == [2]
    assert said["windows_failed"].endswith("left out: 2.")
    assert compare_paths(found.solve.c2w, walk.c2w).ate_percent < 5


def test_a_window_without_any_map_is_named_and_left_out(walk):
    windows = windows_of(walk)
    windows[1] = Prediction(windows[1].positions, *SIZE)
    found, said = run(windows, walk)
    assert found.statistics["windows_failed"] == [1] and "windows_failed" in said


@pytest.mark.parametrize("far", [np.nan, np.inf, 1e30, 3e3])
@pytest.mark.parametrize("kind", MODALITIES)
def test_sky_is_left_out_or_far(walk, kind, far):
    windows = windows_of(walk, kind)
    for window in windows:
        spoil(window, lambda a: np.concatenate([a[:, :10] * np.float32(far), a[:, 10:]], axis=1), ("points", "depth"))
        spoil(window, lambda a: np.concatenate([0 * a[:, :10], a[:, 10:]], axis=1), ("disparity",))
    found, said = run(windows, walk)
    assert compare_paths(found.solve.c2w, walk.c2w).ate_percent < 5
    ground, sky = found.depth[:, 12:], found.depth[:, :8]
    assert (ground > 0).mean() > 0.95
    assert ((sky == 0) | (sky > 30 * np.median(ground))).mean() > 0.95
    assert not said


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 2), (16, 2)])
@pytest.mark.parametrize("kind", MODALITIES)
def test_tiny_maps(kind, size):
    shot = hall_shot(FRAMES, size)
    windows = SimulatedWindows(shot, size, replace(Errors(), outliers=0.0), MODALITIES[kind], 8, 3)
    run(windows, shot)


def test_windows_of_different_sizes(walk):
    windows = windows_of(walk)
    small = SimulatedWindows(walk, (21, 14), Errors(), length=8, stride=3)
    windows[2] = small[2]
    found, said = run(windows, walk)
    assert compare_paths(found.solve.c2w, walk.c2w).ate_percent < 5 and not said


def test_frames_that_no_window_holds_are_named(walk):
    windows = windows_of(walk, length=5, stride=3)
    found, said = run(windows[:2] + windows[4:], walk)
    assert "alignment_gap" in said
    assert not found.depth[8:12].any() and found.depth[:8].all()
    assert "4 of 20 frames are in no usable window: 8-11." == said["frames_interpolated"]


def test_one_window_of_two_frames_for_a_longer_shot(walk):
    found, said = run(windows_of(walk, length=2, stride=2)[3:4], walk)
    assert said["frames_interpolated"].endswith("0-5, 8-19.")
    assert found.depth[6:8].all()


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("kind", MODALITIES)
def test_short_shots(kind, frames):
    shot = hall_shot(frames, SIZE)
    found, _ = run(windows_of(shot, kind), shot)
    assert found.depth.all()


@pytest.mark.parametrize("kind", MODALITIES)
def test_windows_that_reach_beyond_the_shot(walk, kind):
    found, _ = run(windows_of(walk, kind), walk, frames=15)
    assert len(found) == 15
    assert compare_paths(found.solve.c2w, walk.c2w[:15]).ate_percent < 5


def test_half_of_the_pixels_wrong(walk):
    found, said = run(windows_of(walk, outliers=0.5), walk)
    assert compare_paths(found.solve.c2w, walk.c2w).ate_percent < 5 and not said


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_any_unit(walk, unit):
    windows = windows_of(walk)
    for window in windows:
        spoil(window, lambda a: a * np.float32(unit), ("points", "ray_moment"))
    found, said = run(windows, walk)
    assert compare_paths(found.solve.c2w, walk.c2w).ate_percent < 5 and not said


@pytest.mark.parametrize("value", [np.nan, 0.0, -5.0])
def test_a_lens_that_is_none_is_assumed_and_said(walk, value):
    windows = windows_of(walk, "depth")
    for window in windows:
        spoil(window, lambda a: np.full_like(a, value), ("fx", "fy"))
    found, said = run(windows, walk)
    assert set(said) == {"focal_assumed"} and found.statistics["focal_assumed"]


def test_no_windows_at_all(walk):
    with pytest.raises(SolveError, match="None of the 0 windows"):
        align([], FRAMES, walk.footage_size, Silent())
