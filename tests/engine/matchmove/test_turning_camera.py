import signal
import subprocess
import sys

import numpy as np
import pytest
from geo4d.errors import BadRequest, SolveError
from geo4d.matchmove.camera import solve_camera
from geo4d.matchmove.gravity import estimate_up
from geo4d.matchmove.resection import fill_gaps
from geo4d.matchmove.solve import POSE_HELD, POSE_INTERPOLATED
from geo4d.progress import Silent
from geo4d.tracking.tracks import Tracks
from track_scenes import HEIGHT, WIDTH, make_tracks, pan, relative_turns, turn_error_deg


def test_tripod_pan_is_recognised_with_its_focal_length():
    truth = pan(14)
    tracks, moving = make_tracks(truth, focal=900.0, movers=60)
    solve = solve_camera(tracks, Silent())
    assert solve.motion == "tripod"
    assert abs(solve.fx[0] / 900 - 1) < 0.01
    assert np.ptp(solve.c2w[:, :3, 3], axis=0).max() == 0
    assert turn_error_deg(relative_turns(solve.c2w), relative_turns(truth)) < 0.1
    assert tracks.static[moving].mean() < 0.2
    assert tracks.static[~moving].mean() > 0.85


def test_tripod_radial_term():
    tracks, _ = make_tracks(pan(14), focal=700.0, k1=-0.1)
    solve = solve_camera(tracks, Silent())
    assert solve.motion == "tripod"
    assert solve.k1 == pytest.approx(-0.1, abs=0.01)
    assert abs(solve.fx[0] / 700 - 1) < 0.01


def test_static_camera_is_held_and_its_focal_length_called_a_guess():
    tracks, moving = make_tracks(np.tile(np.eye(4), (20, 1, 1)), movers=120, noise_px=0.05, slipped=0.0)
    progress = Silent()
    solve = solve_camera(tracks, progress)
    assert solve.motion == "static"
    assert (solve.pose_source == POSE_HELD).all()
    np.testing.assert_array_equal(solve.c2w, np.tile(np.eye(4), (20, 1, 1)))
    assert [w[0] for w in progress.warnings] == ["focal_assumed"]
    assert tracks.static[~moving].all() and tracks.static[moving].mean() < 0.1


def test_static_camera_with_known_focal_does_not_warn():
    tracks, _ = make_tracks(np.tile(np.eye(4), (10, 1, 1)), noise_px=0.05, slipped=0.0)
    progress = Silent()
    assert solve_camera(tracks, progress, focal_px=500.0).fx[0] == 500.0
    assert not progress.warnings


def random_tracks(frames: int, count: int) -> Tracks:
    """Tracks that jump about: no camera explains them."""
    rng = np.random.default_rng(3)
    return Tracks(
        width=WIDTH,
        height=HEIGHT,
        frame_count=frames,
        track=np.repeat(np.arange(count), frames).astype(np.int32),
        frame=np.tile(np.arange(frames), count).astype(np.int32),
        xy=rng.uniform([0, 0], [WIDTH, HEIGHT], (count * frames, 2)).astype(np.float32),
        fb_error=np.zeros(count * frames, dtype=np.float32),
    )


def test_random_tracks_have_no_camera():
    with pytest.raises(SolveError) as caught:
        solve_camera(random_tracks(8, 120), Silent())
    assert caught.value.code == "no_consistent_motion"
    assert caught.value.hint


def test_tracks_of_two_frames_hold_no_camera():
    with pytest.raises(BadRequest) as caught:
        solve_camera(random_tracks(2, 200), Silent())
    assert caught.value.code == "too_few_frames"


def test_a_handful_of_tracks_is_not_enough():
    with pytest.raises(SolveError) as caught:
        solve_camera(random_tracks(12, 5), Silent())
    assert caught.value.code == "no_persistent_features"


def test_gaps_are_filled_by_time():
    c2w = pan(5)
    c2w[:, 0, 3] = [0, 1, 2, 3, 4]
    broken = c2w.copy()
    broken[[1, 4]] = np.nan
    source = np.zeros(5, dtype=np.uint8)
    fill_gaps(broken, source, np.array([0.0, 0.25, 1.0, 2.0, 3.0]))
    assert broken[1, 0, 3] == pytest.approx(0.5)
    np.testing.assert_allclose(broken[4], broken[3], atol=1e-12)
    assert source.tolist() == [0, POSE_INTERPOLATED, 0, 0, POSE_INTERPOLATED]


def test_up_of_a_level_camera_without_points():
    assert estimate_up(pan(10), np.zeros((0, 3)))[1] < -0.99


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_terminating_the_process_prints_no_stack_trace():
    script = "import os, signal, time, geo4d.matchmove.camera as c; os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGTERM
    assert ended.stderr == ""
