"""Cameras of a shot from its tracks: static, tripod or moving, each recognised and solved as such."""

import numpy as np

from ..errors import BadRequest, SolveError
from ..progress import Progress
from ..tracking.tracks import Tracks
from .moving import grow, map_key_frames
from .observations import Observations, pick_key_frames
from .solve import Solve


def solve_camera(tracks: Tracks, progress: Progress, focal_px: float | None = None) -> Solve:
    """One camera a frame from a shot's tracks; fills ``tracks.static``, ``tracks.xyz`` and ``tracks.error_px``.

    ``focal_px`` is the focal length in footage pixels where the user knows it; otherwise it is solved for.

    Raises
    ------
    BadRequest : fewer than three frames.
    SolveError : no camera motion agrees with the tracks.
    """
    if tracks.frame_count < 3:
        raise BadRequest(
            "too_few_frames",
            f"The shot has {tracks.frame_count} frames; a camera cannot be solved from fewer than 3.",
            "Choose a longer strip or a wider frame range.",
        )
    observations = Observations(tracks)
    keys = pick_key_frames(tracks)
    candidates, _ = map_key_frames(observations, keys, focal_px, progress)
    grown = [grow(observations, c, keys, focal_px is not None, progress) for c in candidates]
    if not grown:
        raise SolveError(
            "no_consistent_motion",
            "No camera motion explains the features that were tracked.",
            "The shot may hold mostly moving objects, or cuts; choose another range.",
        )
    best = min(grown, key=lambda g: np.median(g.error[np.isfinite(g.error)]))
    return finish(tracks, best, "moving")


def finish(tracks: Tracks, grown, motion: str) -> Solve:
    """The grown reconstruction as a :class:`Solve`; writes the verdict on each track into ``tracks``."""
    n, scale = len(tracks), tracks.working_scale
    error, t, f = grown.error, tracks.track, tracks.frame
    inlier = error < 3.0 * scale
    seen = np.bincount(t, minlength=n)
    agreed = np.bincount(t[inlier], minlength=n)
    mean = np.bincount(t[inlier], error[inlier], minlength=n) / np.maximum(agreed, 1)
    tracks.static = agreed >= 0.8 * seen
    has_point = np.isfinite(grown.points[:, 0]) & (agreed >= 2)
    tracks.xyz = np.where(has_point[:, None], grown.points, np.nan)
    tracks.error_px = np.where(has_point, mean, np.nan).astype(np.float32)
    frames = tracks.frame_count
    rows = inlier & tracks.static[t]
    per_frame = np.full(frames, np.nan, dtype=np.float32)
    for frame in range(frames):
        e = error[rows & (f == frame)]
        if len(e):
            per_frame[frame] = np.median(e)
    world = has_point & tracks.static & (agreed >= 3)
    lens = grown.lens
    return Solve(
        width=tracks.width,
        height=tracks.height,
        motion=motion,
        c2w=grown.c2w,
        fx=np.full(frames, lens.fx),
        fy=np.full(frames, lens.fy),
        cx=np.full(frames, lens.cx),
        cy=np.full(frames, lens.cy),
        k1=lens.k1,
        pose_source=grown.source,
        reprojection_error_px=per_frame,
        points=grown.points[world],
        points_rgb=tracks.rgb[world],
        points_error_px=tracks.error_px[world],
        statistics=grown.statistics,
    )
