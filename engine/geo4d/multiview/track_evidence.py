"""What the long tracks say about depth and motion: few pixels, but followed much longer than any flow."""

from dataclasses import dataclass

import numpy as np

from ..geometry.camera import camera_rays
from ..matchmove.solve import Solve
from ..tracking.tracks import Tracks

MOVING_PX = 1.4  # a track this far (RMS, in pixels of a 448 pixel map) from any static point moves
STATIC_PX = 0.7
MIN_LENGTH = 4
# From how long on a track can tell that something rests. There is always a static point that explains two frames, and
# trackers follow movers only briefly: beside movers shorter tracks tell no depth, and little about motion.
AT_REST_S = 0.2
AROUND_PX = 30.0  # of a 448 pixel map
LITTLE = 0.3
FAR_SLACK = 0.3  # how far beyond infinity a point may lie, in medians of inverse depth


@dataclass
class TrackEvidence:
    """Observations of a shot's tracks in the undistorted maps, sorted by frame."""

    frame: np.ndarray  # (M,) int32
    col: np.ndarray  # (M,) int32 pixel column in the map
    row: np.ndarray  # (M,) int32
    d: np.ndarray  # (M,) float32 inverse z-depth in that frame, 0 where the track has no trusted point
    label: np.ndarray  # (M,) float32: +1 moves, -1 static, nearer to 0 where that is doubtful, 0 unknown

    def at(self, i: int) -> slice:
        """The observations of frame i."""
        return slice(*np.searchsorted(self.frame, [i, i + 1]))


def collect(tracks: Tracks, solve: Solve, times: np.ndarray, size: tuple[int, int]) -> TrackEvidence:
    """Judge every track against the solved cameras and place its observations in maps of ``size`` (w, h).

    ``times`` (F,) of the frames in seconds.
    """
    w, h = size
    count = len(tracks)
    if not count:
        empty = np.zeros(0, dtype=np.int32)
        return TrackEvidence(empty, empty, empty, empty.astype(np.float32), empty.astype(np.float32))
    frame, track = tracks.frame, tracks.track
    rays = np.empty((len(frame), 3))
    xy = np.empty((len(frame), 2))
    for f in np.unique(frame):  # one lens a frame
        rows = frame == f
        lens = solve.lens(int(f))
        rays[rows] = camera_rays(tracks.xy[rows].astype(np.float64), lens)
        small = lens.pinhole().scaled(w, h)
        xy[rows] = rays[rows, :2] * [small.fx, small.fy] + [small.cx, small.cy]
    rms = static_residual(track, frame, rays, solve.c2w, count) * np.median(solve.fx) * w / solve.width
    length = np.bincount(track, minlength=count)
    scale = max(size) / 448.0
    placed = tracks.static & np.isfinite(tracks.xyz[:, 0])
    label = np.zeros(count, dtype=np.float32)
    judged = length >= MIN_LENGTH
    label[judged & ~placed & (rms > MOVING_PX * scale)] = 1
    label[placed | (judged & (rms < STATIC_PX * scale))] = -1
    in_camera = np.einsum(
        "mk,mk->m", np.nan_to_num(tracks.xyz)[track] - solve.c2w[frame, :3, 3], solve.c2w[frame, :3, 2]
    )
    trusted = placed[track] & (in_camera > 1e-9)
    d = np.where(trusted, 1 / np.where(trusted, in_camera, 1), 0).astype(np.float32)
    col, row = np.floor(xy[:, 0]).astype(np.int32), np.floor(xy[:, 1]).astype(np.int32)
    inside = (col >= 0) & (row >= 0) & (col < w) & (row < h)
    last = np.cumsum(length) - 1
    brief = times[frame[last]] - times[frame[last - length + 1]] < AT_REST_S
    label = label[track]
    doubtful = _beside_movers(frame, xy, label, brief[track], AROUND_PX * scale)
    label[doubtful] *= LITTLE
    d[doubtful] = 0
    order = np.flatnonzero(inside)[np.argsort(frame[inside], kind="stable")]
    return TrackEvidence(frame[order], col[order], row[order], d[order], label[order])


def _beside_movers(frame: np.ndarray, xy: np.ndarray, label: np.ndarray, brief: np.ndarray, reach: float) -> np.ndarray:
    """Which (M,) observations at ``xy`` (M, 2), of ``brief`` tracks, are near one of their frame that moves."""
    out = np.zeros(len(frame), dtype=bool)
    for f in np.unique(frame[label > 0]):
        moves = xy[(frame == f) & (label > 0)]
        asked = np.flatnonzero((frame == f) & (label <= 0) & brief)
        away = np.sum((xy[asked, None] - moves[None]) ** 2, axis=2).min(axis=1)
        out[asked] = away < reach**2
    return out


def static_residual(track: np.ndarray, frame: np.ndarray, rays: np.ndarray, c2w: np.ndarray, count: int) -> np.ndarray:
    """RMS distance of each track from the best static point on its first ray, (count,), in units of rays (z = 1).

    The point may lie at infinity, by the cameras' error even a little beyond, but not behind the camera. One
    linear unknown a track: with the first ray
    ``r`` and inverse depth ``d``, the direction ``R_j^T (R_0 r - d (c_j - c_0))`` must fall on ray j.
    """
    first = np.searchsorted(track, np.arange(count))
    first = np.minimum(first, len(track) - 1)
    world = np.einsum("nab,nb->na", c2w[frame[first], :3, :3], rays[first])
    R = c2w[frame, :3, :3]
    p = np.einsum("mba,mb->ma", R, world[track])
    q = -np.einsum("mba,mb->ma", R, c2w[frame, :3, 3] - c2w[frame[first][track], :3, 3])
    lhs = q[:, :2] - rays[:, :2] * q[:, 2:]
    rhs = rays[:, :2] * p[:, 2:] - p[:, :2]
    A = np.bincount(track, weights=np.sum(lhs * lhs, axis=1), minlength=count)
    B = np.bincount(track, weights=np.sum(lhs * rhs, axis=1), minlength=count)
    d = B / np.maximum(A, 1e-30)
    seen = d[d > 0]
    # Far points land a little beyond infinity when the cameras are a little off; that is no motion.
    d = np.maximum(d, -FAR_SLACK * float(np.median(seen)) if len(seen) else 0.0)[track]
    z = p[:, 2] + d * q[:, 2]
    miss = (lhs * d[:, None] - rhs) / np.where(z > 1e-6, z, np.nan)[:, None]
    square = np.where(np.isfinite(miss).all(axis=1), np.sum(miss * miss, axis=1), 0.01)
    return np.sqrt(
        np.bincount(track, weights=square, minlength=count) / np.maximum(np.bincount(track, minlength=count), 1)
    )
