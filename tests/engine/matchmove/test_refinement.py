"""Refinement brings a rough solve to the tracks, holds what is known, and judges itself on tracks it never saw."""

import numpy as np
import pytest
from geo4d.geometry.camera import project
from geo4d.matchmove.refinement import refine
from geo4d.matchmove.solve import POSE_SOLVED, Solve
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.progress import Silent
from track_scenes import HEIGHT, WIDTH, hand_held, make_tracks, path_error, rotation_x, rotation_y

FRAMES = 24


def solve_of(c2w, focal, motion="moving") -> Solve:
    frames = len(c2w)
    return Solve(
        width=WIDTH,
        height=HEIGHT,
        motion=motion,
        c2w=c2w.copy(),
        fx=np.full(frames, focal),
        fy=np.full(frames, focal),
        cx=np.full(frames, WIDTH / 2),
        cy=np.full(frames, HEIGHT / 2),
        k1=0.0,
        pose_source=np.full(frames, POSE_SOLVED, dtype=np.uint8),
        reprojection_error_px=np.full(frames, np.nan, dtype=np.float32),
        points=np.zeros((0, 3)),
        points_rgb=np.zeros((0, 3), dtype=np.uint8),
        points_error_px=np.zeros(0, dtype=np.float32),
    )


def shaken(c2w, rng, degrees=0.6, share=0.02):
    """Poses as a model's alignment may deliver them: turned and moved at random."""
    out = c2w.copy()
    for pose in out:
        a, b = np.radians(degrees) * rng.normal(size=2)
        pose[:3, :3] = pose[:3, :3] @ rotation_y(a) @ rotation_x(b)
        pose[:3, 3] += share * 5.0 * rng.normal(size=3) * 0.3
    return out


@pytest.fixture(scope="module")
def refined():
    truth = hand_held(FRAMES)
    tracks, moving = make_tracks(truth, focal=800.0, movers=40, noise_px=0.2, slipped=0.02)
    rough = solve_of(shaken(truth, np.random.default_rng(3)), 840.0)
    progress = Silent()
    return truth, tracks, moving, rough, refine(rough, tracks, progress), progress


def test_a_rough_solve_becomes_sub_pixel(refined):
    truth, _, _, rough, found, progress = refined
    assert path_error(found, truth) < 0.05 * path_error(rough, truth)
    assert abs(found.fx[0] / 800 - 1) < 0.01 and found.k1 == 0
    before, after = found.statistics["held_out_before"], found.statistics["held_out"]
    assert before["median_px"] > 1 > 0.5 > after["median_px"]
    assert after["p95_px"] < 1.5 and after["tracks"] >= 20
    assert not progress.warnings
    assert found.quality is not None and len(found.quality) == FRAMES
    assert found.statistics["quality"]["grade"] == "good", found.statistics["quality"]


def test_movers_take_no_part(refined):
    _, tracks, moving, _, _, _ = refined
    assert tracks.static[moving].mean() < 0.1
    assert tracks.static[~moving].mean() > 0.85


def test_the_given_solve_stays_as_it_is(refined):
    _, _, _, rough, found, _ = refined
    assert rough.fx[0] == 840.0 and not np.array_equal(rough.c2w, found.c2w)


def test_a_known_focal_length_stays():
    truth = hand_held(FRAMES)
    tracks, _ = make_tracks(truth, focal=800.0)
    found = refine(solve_of(shaken(truth, np.random.default_rng(5)), 800.0), tracks, Silent(), fixed_focal=True)
    np.testing.assert_array_equal(found.fx, 800.0)
    assert path_error(found, truth) < 0.003


def test_a_radial_term_is_found_where_there_is_one():
    truth = hand_held(FRAMES)
    tracks, _ = make_tracks(truth, focal=800.0, k1=-0.08, noise_px=0.1)
    found = refine(solve_of(truth, 790.0), tracks, Silent(), motion_known=True)
    assert abs(found.k1 + 0.08) < 0.01
    assert abs(found.fx[0] / 800 - 1) < 0.01


def test_a_models_focal_length_stays_where_tracks_cannot_tell():
    # A short sideways slide without any turn: focal length and depth cannot be told apart.
    truth = np.tile(np.eye(4), (FRAMES, 1, 1))
    truth[:, 0, 3] = np.linspace(-0.3, 0.3, FRAMES)
    tracks, _ = make_tracks(truth, focal=800.0, noise_px=0.3, slipped=0.0)
    rough = solve_of(truth, 800.0)

    class Maps:
        """The far wall's depth for every pixel: all that a prior needs to set the scale."""

        def frame(self, i):
            ones = np.ones((HEIGHT // 8, WIDTH // 8), np.float32)
            return DepthFrame(9 * ones, 0 * ones, 0 * ones)

    found = refine(rough, tracks, Silent(), depth=Maps(), motion_known=True)
    assert abs(found.fx[0] / 800 - 1) < 0.02


def test_a_still_camera_is_held_exactly():
    truth = np.tile(np.eye(4), (FRAMES, 1, 1))
    tracks, _ = make_tracks(truth, noise_px=0.05, slipped=0.0)
    found = refine(solve_of(shaken(truth, np.random.default_rng(1), 0.1, 0.001), 800.0), tracks, Silent())
    assert found.motion == "static"
    assert np.ptp(found.c2w, axis=0).max() == 0


def test_cameras_that_tracks_contradict_are_refused():
    """Tracks of pure noise cannot improve a solve, and must not spoil it."""
    truth = hand_held(FRAMES)
    tracks, _ = make_tracks(truth, noise_px=60.0, slipped=0.0)
    progress = Silent()
    found = refine(solve_of(truth, 800.0), tracks, progress, motion_known=True)
    np.testing.assert_array_equal(found.c2w, truth)
    assert [code for code, *_ in progress.warnings] == ["refinement_refused"]


def test_points_lie_where_their_tracks_see_them(refined):
    _, tracks, _, _, found, _ = refined
    rows = tracks.static[tracks.track] & np.isfinite(tracks.xyz[tracks.track, 0])
    errors = []
    for i in range(0, FRAMES, 6):
        here = rows & (tracks.frame == i)
        xy, _ = project(tracks.xyz[tracks.track[here]], found.c2w[i], found.lens(i))
        errors.append(np.linalg.norm(xy - tracks.xy[here], axis=1))
    assert np.median(np.concatenate(errors)) < 0.5
