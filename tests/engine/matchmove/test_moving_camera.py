import numpy as np
import pytest
from geo4d.errors import Cancelled
from geo4d.geometry.camera import project
from geo4d.matchmove.camera import solve_camera
from geo4d.matchmove.solve import POSE_INTERPOLATED, POSE_SOLVED
from geo4d.progress import Silent
from track_scenes import hand_held, make_tracks, path_error, relative_turns, turn_error_deg


@pytest.fixture(scope="module")
def walk():
    truth = hand_held(14)
    tracks, moving = make_tracks(truth, focal=800.0, movers=90)
    progress = Silent()
    return truth, tracks, moving, solve_camera(tracks, progress), progress


def test_path_focal_and_rotations(walk):
    truth, _, _, solve, progress = walk
    assert solve.motion == "moving"
    assert path_error(solve, truth) < 0.002
    assert abs(solve.fx[0] / 800 - 1) < 0.01
    assert turn_error_deg(relative_turns(solve.c2w), relative_turns(truth)) < 0.2
    assert solve.k1 == 0.0
    assert not [w for w in progress.warnings if w[0] == "focal_uncertain"]


def test_every_frame_is_solved(walk):
    _, _, _, solve, _ = walk
    assert np.isfinite(solve.c2w).all()
    assert (solve.pose_source == POSE_SOLVED).all()
    assert (solve.reprojection_error_px < 0.5).all()


def test_movers_and_slipped_tracks_are_not_static(walk):
    _, tracks, moving, _, _ = walk
    assert tracks.static[moving].mean() < 0.1
    assert tracks.static[~moving].mean() > 0.9


def test_points_project_onto_their_tracks(walk):
    _, tracks, _, solve, _ = walk
    rows = np.flatnonzero(tracks.static[tracks.track] & (tracks.frame == 8))
    projected, _ = project(tracks.xyz[tracks.track[rows]], solve.c2w[8], solve.lens(8))
    assert np.nanmedian(np.linalg.norm(projected - tracks.xy[rows], axis=1)) < 0.5
    assert len(solve.points) > 300
    assert len(solve.points) == len(solve.points_rgb) == len(solve.points_error_px)


def test_up_is_the_floors_normal(walk):
    truth, _, _, solve, _ = walk
    # The truth's floor is y = 1.2; compare in the first camera's axes.
    assert solve.c2w[0, :3, :3].T @ solve.up @ (truth[0, :3, :3].T @ [0, -1, 0]) > np.cos(np.radians(2))


def test_solve_is_repeatable():
    truth = hand_held(8)
    first, second = (solve_camera(make_tracks(truth, points=300)[0], Silent()) for _ in range(2))
    np.testing.assert_allclose(first.c2w, second.c2w, atol=1e-6)
    assert first.fx[0] == pytest.approx(second.fx[0], rel=1e-6)


def test_radial_term_is_recovered():
    truth = hand_held(12)
    tracks, _ = make_tracks(truth, focal=700.0, k1=-0.12)
    solve = solve_camera(tracks, Silent())
    assert solve.k1 == pytest.approx(-0.12, abs=0.01)
    assert abs(solve.fx[0] / 700 - 1) < 0.01
    assert path_error(solve, truth) < 0.003


def test_known_focal_is_kept():
    truth = hand_held(12)
    tracks, _ = make_tracks(truth, focal=800.0, points=300)
    solve = solve_camera(tracks, Silent(), focal_px=800.0)
    np.testing.assert_array_equal(solve.fx, 800.0)
    assert path_error(solve, truth) < 0.003


def test_frames_without_tracks_are_interpolated_and_marked():
    truth = hand_held(12)
    tracks, _ = make_tracks(truth)
    lost = np.isin(tracks.frame, [5, 6])
    kept = np.flatnonzero(~lost)
    tracks.track, tracks.frame = tracks.track[kept], tracks.frame[kept]
    tracks.xy, tracks.fb_error = tracks.xy[kept], tracks.fb_error[kept]
    solve = solve_camera(tracks, Silent())
    assert (solve.pose_source[[5, 6]] == POSE_INTERPOLATED).all()
    assert (np.delete(solve.pose_source, [5, 6]) == POSE_SOLVED).all()
    assert np.isnan(solve.reprojection_error_px[[5, 6]]).all()
    assert path_error(solve, truth) < 0.01


def test_cancel_stops_the_solve():
    class CancelsInMapping(Silent):
        def advance(self, stage, done, total):
            if stage == "map":
                raise Cancelled

    with pytest.raises(Cancelled):
        solve_camera(make_tracks(hand_held(8), points=200)[0], CancelsInMapping())
