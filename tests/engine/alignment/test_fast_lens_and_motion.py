"""What users may know of lens and motion, and what is found out, with overlapping windows and with one for all."""

from dataclasses import replace

import numpy as np
import pytest
from geo4d.alignment.fast import AlignmentSettings, align
from geo4d.evaluation.pose_metrics import compare_paths, rotation_errors_deg
from geo4d.matchmove.solve import POSE_HELD
from geo4d.progress import Silent
from hall import hall_shot
from simulated_windows import Errors, SimulatedWindows

SIZE = (48, 32)
FRAMES = 28
ERRORS = replace(Errors(), outliers=0.05)
OVERLAPPING = {"modalities": ("points", "disparity", "rays")}
WHOLE = {"modalities": ("depth",), "length": 60, "stride": 60}  # as models do that see all frames at once


def solve(shot, windows, errors=ERRORS, **settings):
    windows = SimulatedWindows(shot, SIZE, errors, **windows)
    return align(windows, len(shot), shot.footage_size, Silent(), AlignmentSettings(**settings)).solve


def focal_error(found, shot) -> float:
    return float(np.abs(found.fx / [lens.fx for lens in shot.lenses] - 1).max())


@pytest.mark.parametrize("windows", [OVERLAPPING, WHOLE], ids=["overlapping", "whole"])
def test_camera_at_rest_is_recognised_and_held_exactly_still(windows):
    found = solve(hall_shot(FRAMES, SIZE, motion="static"), windows)
    assert found.motion == "static"
    assert not np.ptp(found.c2w, axis=0).any()
    assert (found.pose_source == POSE_HELD).all()


@pytest.mark.parametrize("windows", [OVERLAPPING, WHOLE], ids=["overlapping", "whole"])
def test_camera_that_turns_is_recognised_and_keeps_one_centre(windows):
    shot = hall_shot(FRAMES, SIZE, motion="tripod")
    found = solve(shot, windows)
    assert found.motion == "tripod"
    assert not np.ptp(found.c2w[:, :3, 3], axis=0).any()
    assert rotation_errors_deg(found.c2w, shot.c2w).max() < 0.5


def test_slow_travel_in_one_window_is_not_taken_for_rest():
    shot = hall_shot(FRAMES, SIZE, motion="static")
    shot.c2w[:, 2, 3] += 0.02 * np.arange(FRAMES)
    found = solve(shot, WHOLE, replace(ERRORS, turn_deg=0.02, shift=0.0005))
    assert found.motion == "moving"


@pytest.mark.parametrize("windows", [OVERLAPPING, WHOLE], ids=["overlapping", "whole"])
def test_known_focal_length_is_kept_and_helps(windows):
    shot = hall_shot(FRAMES, SIZE)
    true = shot.lenses[0].fx
    errors = replace(ERRORS, warp=0.1)  # with a wrong lens to match
    found = solve(shot, windows, errors, focal_px=true)
    assert np.all(found.fx == found.fx[0]) and found.fx[0] == pytest.approx(true, rel=1e-12)
    assert compare_paths(found.c2w, shot.c2w).ate_percent < 6.0


def test_depth_becomes_points_with_the_lens_that_the_user_knows():
    shot = hall_shot(FRAMES, SIZE)
    statistics = [solve(shot, WHOLE, ERRORS, focal_px=f * shot.lenses[0].fx).statistics for f in (1.0, 1.2)]
    # Depth alone fits any lens: no points are off their rays because of one that the model did not guess.
    assert all(values["ray_error_px"] < 0.2 for values in statistics)


@pytest.mark.parametrize("windows", [OVERLAPPING, WHOLE], ids=["overlapping", "whole"])
@pytest.mark.parametrize("motion", ["moving", "tripod"])
def test_focal_length_that_varies(windows, motion):
    shot = hall_shot(36, SIZE, zoom=True, motion=motion)
    found = solve(shot, windows, zoom=True)
    assert np.ptp([lens.fx for lens in shot.lenses]) > 200
    assert focal_error(found, shot) < 0.05
    if motion == "moving":
        assert compare_paths(found.c2w, shot.c2w).ate_percent < 3.0
    else:
        assert found.motion == "tripod"


def test_lens_is_the_footages_own():
    # Maps that are not of the footage's ratio: their pixels are not square, those of the footage are.
    found = solve(hall_shot(FRAMES, SIZE), OVERLAPPING)
    assert (found.width, found.height) == (960, 540)
    assert np.array_equal(found.fx, found.fy)
    assert (found.cx == 480).all() and (found.cy == 270).all()
