"""A moving camera: mappers on key frames, the best candidate grown to all frames and adjusted."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..geometry.camera import Intrinsics
from ..progress import Progress
from . import mapping
from .adjust import Problem, adjust
from .database import key_pairs, new_camera, write_database
from .observations import Observations
from .resection import MIN_POINTS, fill_gaps, resect
from .solve import POSE_RESECTED, POSE_SOLVED
from .triangulation import reprojection_errors, triangulate, triangulation_angles

MIN_ANGLE_DEG = 0.3
LOSS_PX = 1.0  # Cauchy scale, pixels of the tracked image


@dataclass
class Growth:
    """A candidate grown to the whole shot."""

    name: str
    c2w: np.ndarray
    source: np.ndarray
    points: np.ndarray
    lens: Intrinsics
    error: np.ndarray  # per observation, pixels
    statistics: dict


def map_key_frames(observations: Observations, keys: np.ndarray, focal_px: float | None, progress: Progress):
    """Candidates of both mappers, in a temporary folder that is gone afterwards."""
    tracks = observations.tracks
    known = focal_px is not None
    start = focal_px if known else 0.9 * max(tracks.width, tracks.height)
    camera = new_camera(tracks.width, tracks.height, start, True)
    pairs = key_pairs(observations, keys)
    with tempfile.TemporaryDirectory(prefix="geo4d-", ignore_cleanup_errors=True) as folder:
        folder = Path(folder)
        base = folder / "tracks.db"
        votes = write_database(base, observations, keys, camera, pairs, 2.0 * tracks.working_scale, progress)
        candidates = mapping.global_map(base, folder / "global", progress, known)
        candidates += mapping.incremental_map(base, folder / "incremental", progress, known)
    return candidates, votes


def grow(observations: Observations, candidate, keys: np.ndarray, fixed_focal: bool, progress: Progress) -> Growth:
    """Triangulate all tracks with the candidate's cameras, resect the other frames, adjust everything."""
    tracks = observations.tracks
    scale = tracks.working_scale
    n, frames = len(tracks), tracks.frame_count
    lens = Intrinsics(
        tracks.width,
        tracks.height,
        candidate.focal_px,
        candidate.focal_px,
        tracks.width / 2,
        tracks.height / 2,
        candidate.k1,
    )
    c2w = np.full((frames, 4, 4), np.nan)
    for k, pose in candidate.poses.items():
        c2w[keys[k]] = pose
    t, f, xy = tracks.track, tracks.frame, tracks.xy.astype(np.float64)
    points = triangulate(t, f, xy, c2w, lens, n, scale)
    resect_all(observations, points, c2w, lens, scale, progress)
    error = None
    for round_, refine_k1 in enumerate((False, True, True)):
        points = triangulate(t, f, xy, c2w, lens, n, scale)
        error = reprojection_errors(points, t, f, xy, c2w, lens)
        used = choose(tracks, points, error, c2w, limit=(4.0, 3.0, 2.0)[round_] * scale)
        problem = Problem(c2w, points, t[used], f[used], xy[used], lens)
        adjust(problem, progress, not fixed_focal, refine_k1, LOSS_PX * scale, stage=("adjust", round_, 3))
        c2w, lens = problem.c2w, problem.lens
    points = triangulate(t, f, xy, c2w, lens, n, scale)
    error = reprojection_errors(points, t, f, xy, c2w, lens)
    source = np.full(frames, POSE_SOLVED, dtype=np.uint8)
    supported = np.bincount(f[used], minlength=frames)
    source[supported < MIN_POINTS] = POSE_RESECTED
    registered = int(np.isfinite(c2w[:, 0, 0]).sum())
    fill_gaps(c2w, source, np.arange(frames, dtype=np.float64))
    return Growth(candidate.name, c2w, source, points, lens, error, {"registered_frames": registered})


def resect_all(observations, points, c2w, lens, scale, progress) -> None:
    """Pose the frames that are still NaN, outwards from their posed neighbours."""
    tracks = observations.tracks
    todo = np.flatnonzero(~np.isfinite(c2w[:, 0, 0]))
    for done, frame in enumerate(todo):
        rows = observations.rows(int(frame))
        rows = rows[np.isfinite(points[tracks.track[rows], 0])]
        found = resect(points[tracks.track[rows]], tracks.xy[rows], lens, 4.0 * scale)
        if found is not None:
            c2w[frame] = found[0]
        progress.advance("resect", done + 1, len(todo))


def choose(tracks, points, error, c2w, limit: float) -> np.ndarray:
    """Rows that take part in the adjustment: good observations of well-seen points, long tracks first."""
    t, f = tracks.track, tracks.frame
    good = (error < limit) & np.isfinite(c2w[f, 0, 0])
    seen = np.bincount(t, minlength=len(tracks))
    kept = np.bincount(t[good], minlength=len(tracks))
    angle = triangulation_angles(points, t, f, c2w)
    fine = (kept >= 3) & (kept >= 0.7 * seen) & (np.nan_to_num(angle) > MIN_ANGLE_DEG)
    return np.flatnonzero(good & fine[t])
