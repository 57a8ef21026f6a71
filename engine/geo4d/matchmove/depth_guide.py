"""What a model's depth maps say at the places of the tracks."""

from collections.abc import Callable

import numpy as np

from ..geometry.camera import camera_rays, unproject
from ..multiview.depth_frame import DepthFrame
from ..tracking.tracks import Tracks
from .solve import Solve

MIN_CONFIDENCE = 0.05
MOVING = 0.5  # dynamic probability from which a place says nothing of the static world
EDGE = 0.15  # relative difference to a neighbouring pixel beyond which depth at a place is ambiguous


def frame_source(depth) -> Callable[[int], DepthFrame | None]:
    """``depth``, an object with ``frame(i)`` or a function of i, as a function of i."""
    return depth.frame if hasattr(depth, "frame") else depth


def sample_depth(tracks: Tracks, solve: Solve, depth) -> tuple[np.ndarray, np.ndarray]:
    """Z-depth (M,) at each observation, NaN where the maps say nothing sure, and dynamic probability (M,).

    ``depth`` yields the :class:`DepthFrame` of a shot position (or None), seen through ``solve``'s cameras.
    """
    source = frame_source(depth)
    z = np.full(len(tracks.frame), np.nan)
    moving = np.zeros(len(tracks.frame))
    for f in np.unique(tracks.frame):
        maps = source(int(f))
        if maps is None:
            continue
        rows = np.flatnonzero(tracks.frame == f)
        h, w = maps.depth.shape
        lens = solve.lens(int(f))
        small = lens.pinhole().scaled(w, h)
        flat = camera_rays(tracks.xy[rows].astype(np.float64), lens)[:, :2] * small.focal + small.centre
        column, row = (np.floor(flat[:, i]).astype(np.int64) for i in (0, 1))
        inside = (column >= 0) & (row >= 0) & (column < w) & (row < h)
        rows, column, row = rows[inside], column[inside], row[inside]
        value = maps.depth[row, column].astype(np.float64)
        around = [maps.depth[np.clip(row + dy, 0, h - 1), np.clip(column + dx, 0, w - 1)] for dx, dy in _CROSS]
        jump = np.ptp(np.stack([value, *around]), axis=0)
        sure = (value > 0) & np.isfinite(value) & (jump < EDGE * value)
        sure &= (maps.confidence[row, column] > MIN_CONFIDENCE) & (maps.dynamic[row, column] < MOVING)
        z[rows] = np.where(sure, value, np.nan)
        moving[rows] = maps.dynamic[row, column]
    return z, moving


_CROSS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def guided_points(tracks: Tracks, solve: Solve, z: np.ndarray) -> np.ndarray:
    """World points (N, 3): the median, axis by axis, of where ``z`` (M,) puts each track; NaN where it says nothing."""
    rows = np.flatnonzero(np.isfinite(z))
    points = np.full((len(tracks), 3), np.nan)
    if not len(rows):
        return points
    world = np.empty((len(rows), 3))
    for f in np.unique(tracks.frame[rows]):
        here = tracks.frame[rows] == f
        some = rows[here]
        world[here] = unproject(tracks.xy[some].astype(np.float64), z[some], solve.c2w[f], solve.lens(int(f)))
    t = tracks.track[rows]
    names, start, size = np.unique(t, return_index=True, return_counts=True)
    for axis in range(3):
        order = np.lexsort((world[:, axis], t))
        points[names, axis] = world[order[start + size // 2], axis]
    return points
