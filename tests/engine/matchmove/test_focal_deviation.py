"""The deviation of the focal length is of the size of its error, also where tracks err alike."""

import numpy as np
import pytest
from geo4d.matchmove.adjust import Problem, adjust
from geo4d.matchmove.bundle import Bundle, Freedom, adjust_bundle, lens_sigma
from geo4d.matchmove.camera import solve_camera
from geo4d.matchmove.focal_deviation import focal_deviation
from geo4d.matchmove.triangulation import triangulate
from geo4d.progress import Silent
from geo4d.tracking.tracks import Tracks
from test_refinement import solve_of
from track_scenes import HEIGHT, WIDTH, hand_held, make_tracks, pan

FRAMES = 14


def adjusted(tracks: Tracks, focal_px: float = 800.0) -> Bundle:
    """The bundle of the tracks' true cameras, adjusted with one free focal length."""
    solve = solve_of(hand_held(FRAMES), focal_px)
    t, f, xy = tracks.track, tracks.frame, tracks.xy.astype(np.float64)
    points = triangulate(t, f, xy, solve.c2w, solve.lenses(), len(tracks))
    return adjust_bundle(Bundle(solve.c2w, points, t, f, xy, solve.lenses()), Silent(), Freedom(), 1.0, 20, 1e-9)


def test_errors_of_many_shots_scatter_as_told():
    errors, told = [], []
    for seed in range(8):
        tracks, _ = make_tracks(hand_held(FRAMES), 800.0, points=120, noise_px=0.4, slipped=0.0, seed=seed)
        bundle = adjusted(tracks)
        errors.append(float(np.log(bundle.lens.fx[0] / 800.0)))
        told.append(focal_deviation(bundle, Freedom(), 1.0))
    ratio = np.sqrt(np.mean(np.square(errors))) / np.mean(told)
    assert 0.25 < ratio < 1.5  # the radial term that might be there makes it wider than this noise alone


def test_a_radial_term_that_was_not_believed_widens_it():
    """A lens that bends, taken for one that does not: the focal length is off, and the deviation says so."""
    tracks, _ = make_tracks(hand_held(FRAMES), 800.0, k1=-0.03, points=300, noise_px=0.2, slipped=0.0)
    bundle = adjusted(tracks)
    error = abs(np.log(bundle.lens.fx[0] / 800.0))
    assert error > 0.01
    assert lens_sigma(bundle, Freedom(), 1.0)[0] < 0.2 * error  # what the curvature alone believes
    assert 0.3 * error < focal_deviation(bundle, Freedom(), 1.0) < 3 * error


@pytest.mark.parametrize("k1", [0.0, -0.1])
def test_a_turning_cameras_error_is_within_what_is_told(k1):
    tracks, _ = make_tracks(pan(FRAMES), 800.0, k1=k1, points=150, noise_px=0.4, slipped=0.0)
    solve = solve_camera(tracks, Silent())
    assert solve.motion == "tripod"
    sigma = solve.statistics["focal_sigma_relative"]
    assert abs(solve.fx[0] / 800.0 - 1) < 3 * sigma < 0.05


def test_a_known_focal_length_has_no_deviation():
    tracks, _ = make_tracks(hand_held(FRAMES), 800.0, points=60)
    assert focal_deviation(adjusted(tracks), Freedom(focal=False), 1.0) == 0.0


@pytest.mark.parametrize("spoiled", ["point", "pose", "place"])
def test_numbers_that_are_none_take_no_part_in_an_adjustment(spoiled):
    truth = hand_held(FRAMES)
    tracks, _ = make_tracks(truth, 800.0, points=120, slipped=0.0)
    solve = solve_of(truth, 800.0)
    points = triangulate(tracks.track, tracks.frame, tracks.xy, truth, solve.lenses(), len(tracks))
    problem = Problem(truth.copy(), points, tracks.track, tracks.frame, tracks.xy.copy(), solve.lens(0))
    {"point": problem.points, "pose": problem.c2w, "place": problem.xy}[spoiled][5] = np.nan
    adjust(problem, Silent(), True, False, 1.0, 10)
    assert abs(problem.lens.fx / 800.0 - 1) < 0.01
    others = np.arange(FRAMES) != 5 if spoiled == "pose" else np.ones(FRAMES, dtype=bool)
    assert np.isfinite(problem.c2w[others]).all()
    assert (problem.lens.width, problem.lens.height) == (WIDTH, HEIGHT)
