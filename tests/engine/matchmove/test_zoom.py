"""A lens that zooms while the camera travels or turns: recognised, recovered, and never seen where there is none."""

import numpy as np
import pytest
from geo4d.errors import BadRequest
from geo4d.matchmove.checked import solve_checked
from geo4d.matchmove.refinement import refine
from geo4d.matchmove.zoom import courses, evened
from geo4d.progress import Silent
from test_refinement import solve_of
from track_scenes import hand_held, make_tracks, pan, path_error, relative_turns, turn_error_deg

FRAMES = 18


def zoom_in(frames: int, by: float = 1.5) -> np.ndarray:
    """Focal lengths (F,): still, then longer by a factor, then still again."""
    s = np.clip((np.linspace(0, 1, frames) - 0.2) / 0.6, 0, 1)
    return 700.0 * by ** (s * s * (3 - 2 * s))


def test_a_zoom_of_a_travelling_camera_is_recovered():
    truth, focal = hand_held(FRAMES), zoom_in(FRAMES)
    tracks, _ = make_tracks(truth, focal, points=500, lives=12)
    progress = Silent()
    solve = solve_checked(tracks, progress)
    assert solve.motion == "moving" and solve.statistics["zoom"]
    np.testing.assert_allclose(solve.fx, focal, rtol=0.01)
    np.testing.assert_array_equal(solve.fx, solve.fy)
    assert path_error(solve, truth) < 0.003
    assert solve.statistics["held_out"]["median_px"] < 0.5
    assert solve.statistics["quality"]["grade"] == "good"
    assert not progress.warnings


def test_a_zoom_of_a_turning_camera_is_recovered():
    truth, focal = pan(FRAMES), zoom_in(FRAMES)
    tracks, moving = make_tracks(truth, focal, points=400, movers=30, lives=12)
    solve = solve_checked(tracks, Silent())
    assert solve.motion == "tripod" and solve.statistics["zoom"]
    np.testing.assert_allclose(solve.fx, focal, rtol=0.01)
    assert np.ptp(solve.c2w[:, :3, 3], axis=0).max() == 0
    assert turn_error_deg(relative_turns(solve.c2w), relative_turns(truth)) < 0.1
    assert tracks.static[moving].mean() < 0.2


@pytest.mark.parametrize("path", [hand_held, pan])
def test_pairs_of_frames_see_no_zoom_in_a_lens_without_one(path):
    tracks, _ = make_tracks(path(FRAMES), 800.0)
    turning, travelling = courses(tracks, Silent())
    course = turning if path is pan else travelling
    assert course.range < 0.01


def test_evened_tracks_are_those_of_a_lens_that_does_not_zoom():
    truth, focal = hand_held(6), zoom_in(6)
    wide, _ = make_tracks(truth, 700.0, k1=-0.1, noise_px=0.0, slipped=0.0, points=60)
    tracks, _ = make_tracks(truth, focal, k1=-0.1, noise_px=0.0, slipped=0.0, points=60)
    even = evened(tracks, focal / 700.0)
    # What the longer lens leaves outside the picture is not in `tracks`: compare by place.
    for f in range(6):
        here, there = even.xy[even.frame == f], wide.xy[wide.frame == f]
        nearest = np.linalg.norm(here[:, None] - there[None], axis=2).min(1)
        assert nearest.max() < 1e-2


def test_a_lens_told_to_be_fixed_stays_one_focal_length():
    truth, focal = hand_held(12), zoom_in(12, 1.1)
    tracks, _ = make_tracks(truth, focal, points=300)
    assert np.ptp(solve_checked(tracks, Silent(), lens="fixed").fx) == 0
    rough = solve_of(truth, 720.0)
    assert np.ptp(refine(rough, tracks, Silent(), motion_known=True, zoom="fixed").fx) == 0
    np.testing.assert_allclose(refine(rough, tracks, Silent(), motion_known=True, zoom="zoom").fx, focal, rtol=0.01)


def test_a_known_focal_length_cannot_zoom():
    tracks, _ = make_tracks(hand_held(6), points=100)
    with pytest.raises(BadRequest) as caught:
        solve_checked(tracks, Silent(), focal_px=800.0, lens="zoom")
    assert caught.value.code == "bad_lens"
