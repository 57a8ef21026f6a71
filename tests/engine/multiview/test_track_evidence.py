"""What long tracks say about depth and motion, and when short ones are not to be believed."""

import numpy as np
import pytest
from geo4d.matchmove.solve import POSE_SOLVED, Solve
from geo4d.multiview.track_evidence import LITTLE, collect
from geo4d.tracking.tracks import Tracks

W, H, F, FOCAL = 448, 252, 12, 400.0
TIMES = np.arange(F) / 24


def solve() -> Solve:
    """A camera that goes a metre to the right."""
    c2w = np.tile(np.eye(4), (F, 1, 1))
    c2w[:, 0, 3] = np.linspace(0, 1, F)
    each = np.ones(F)
    none = np.zeros(0)
    return Solve(
        width=W,
        height=H,
        motion="moving",
        c2w=c2w,
        fx=FOCAL * each,
        fy=FOCAL * each,
        cx=W / 2 * each,
        cy=H / 2 * each,
        k1=0.0,
        pose_source=np.full(F, POSE_SOLVED, np.uint8),
        reprojection_error_px=np.zeros(F, np.float32),
        points=none.reshape(0, 3),
        points_rgb=np.zeros((0, 3), np.uint8),
        points_error_px=none.astype(np.float32),
    )


def tracks(points: list[tuple[np.ndarray, range, bool]]) -> Tracks:
    """Tracks of points: where each is in every frame (F, 3), the frames that follow it, whether the solve placed it."""
    camera = solve().c2w[:, :3, 3]
    rows = []
    for number, (path, frames, _) in enumerate(points):
        f = np.array(frames)
        local = path[f] - camera[f]
        rows.append((np.full(len(f), number), f, local[:, :2] / local[:, 2:] * FOCAL + [W / 2, H / 2]))
    track, frame, xy = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Tracks(
        W,
        H,
        F,
        track.astype(np.int32),
        frame.astype(np.int32),
        xy.astype(np.float32),
        np.zeros(len(track), np.float32),
        static=np.array([placed for *_, placed in points]),
        xyz=np.array([path[frames[0]] if placed else np.full(3, np.nan) for path, frames, placed in points]),
    )


def resting(x: float) -> np.ndarray:
    return np.tile([x, 0.0, 4.0], (F, 1))


def climbing(x: float) -> np.ndarray:
    """What no static point explains: up and down while the camera goes sideways."""
    path = resting(x)
    path[:, 1] = 0.2 * np.sin(np.linspace(0, 6, F))
    return path


def label_of(evidence, number: int, points, frame: int) -> list[float]:
    """Labels found in ``frame`` at the column of a point."""
    local = points[number][0][frame] - solve().c2w[frame, :3, 3]
    rows = evidence.at(frame)
    return evidence.label[rows][evidence.col[rows] == int(np.floor(local[0] / local[2] * FOCAL + W / 2))].tolist()


@pytest.mark.parametrize("has_mover", [True, False])
def test_a_brief_track_beside_a_mover_tells_no_depth_and_little_about_motion(has_mover):
    brief, long = range(4, 6), range(F)
    points = [(resting(0.1), brief, True), (resting(0.15), long, True), (resting(1.2), brief, True)]
    if has_mover:
        points.append((climbing(0.0), long, False))
    evidence = collect(tracks(points), solve(), TIMES, (W, H))
    assert label_of(evidence, 0, points, 4) == pytest.approx([-LITTLE if has_mover else -1])
    assert label_of(evidence, 1, points, 4) == [-1]
    assert label_of(evidence, 2, points, 4) == [-1]
    if has_mover:
        assert label_of(evidence, 3, points, 4) == [1]
    tells = evidence.d > 0
    assert np.allclose(evidence.d[tells], 1 / 4) and np.array_equal(tells, evidence.label == -1)


def test_no_tracks_say_nothing():
    none = np.zeros(0, np.int32)
    empty = Tracks(W, H, F, none, none, np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    assert len(collect(empty, solve(), TIMES, (W, H)).frame) == 0
