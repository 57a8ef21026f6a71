"""How good a solve is on tracks that it never saw.

Protocol. Before anything is adjusted, every seventh long corner track (forward-backward checked from frame to frame)
is set aside, by its number alone, wherever it lies and however it moves (:func:`choose`). No adjustment, no choice of
a lens and no outlier test sees it. Afterwards the point of each such track is triangulated from its even observations
with the finished cameras, and measured at its odd ones: reprojection error in footage pixels (:func:`measure`).

Which of them lie on something that moves is told by their neighbours, not by their own error: a track counts as
static where most of the tracks around it that did take part were found static. So a track that slipped, a reflection
or an occlusion edge amid static surroundings stays in the figures and counts against the solve. The number of tracks
left out as moving is part of the result.
"""

from dataclasses import dataclass

import numpy as np

from ..geometry.camera import Intrinsics
from ..tracking.tracks import Tracks
from .observations import Observations
from .triangulation import points_or_directions, reprojection_errors

EVERY = 7  # of the long tracks, one is set aside
LONG = 8  # observations
NEIGHBOURS = 8  # tracks around one that tell whether it moves
LOOKS = 6  # frames of a track in which its neighbours are asked
MIN_STATIC = 0.7  # share of static ones among them, for a track to count as static itself
CAP_PX = 10.0  # an error beyond this is not told from any other
LEAST = 20  # tracks from which the figures mean something


def choose(tracks: Tracks) -> np.ndarray:
    """Which tracks (N,) bool are set aside: every seventh of the corner tracks that live long.

    Features matched between distant frames have no forward-backward error and are no corner tracks; where there are
    no others, they are taken.
    """
    length = np.bincount(tracks.track, minlength=len(tracks))
    checked = np.bincount(tracks.track, tracks.fb_error, minlength=len(tracks)) > 0
    long = length >= max(4, min(LONG, tracks.frame_count // 2))
    long = np.flatnonzero(long & checked if (long & checked).any() else long)
    held = np.zeros(len(tracks), dtype=bool)
    # The last track keeps the number of tracks what it is.
    held[long[(long < len(tracks) - 1)][EVERY // 2 :: EVERY]] = True
    return held


@dataclass
class HeldOut:
    """Errors of the set-aside tracks in footage pixels."""

    tracks: int  # that count as static
    moving: int  # left out, their neighbours move
    observations: int  # measured ones
    median_px: float
    p95_px: float

    def as_dict(self) -> dict:
        return {
            "tracks": self.tracks,
            "moving_tracks": self.moving,
            "observations": self.observations,
            "median_px": round(self.median_px, 4) if np.isfinite(self.median_px) else None,
            "p95_px": round(self.p95_px, 4) if np.isfinite(self.p95_px) else None,
        }


def measure(tracks: Tracks, held: np.ndarray, static: np.ndarray, c2w: np.ndarray, lens: Intrinsics) -> HeldOut:
    """Errors of the tracks ``held`` (N,) bool; ``static`` (N,) bool is the verdict on all others."""
    quiet = among_static(tracks, held, static)
    error, track = odd_errors(tracks, held, c2w, lens)
    counted = error[quiet[track]]
    return HeldOut(
        int(np.count_nonzero(quiet)),
        int(np.count_nonzero(held & ~quiet)),
        len(counted),
        float(np.median(counted)) if len(counted) else np.nan,
        float(np.percentile(counted, 95, method="higher")) if len(counted) else np.nan,
    )


def robust_error(tracks: Tracks, held: np.ndarray, c2w: np.ndarray, lens: Intrinsics) -> float:
    """Mean of log(1 + error^2) over *all* held tracks, errors capped: compares two solves without any verdict."""
    error, _ = odd_errors(tracks, held, c2w, lens)
    if not len(error):
        return np.inf
    return float(np.log1p(np.minimum(error / tracks.working_scale, CAP_PX) ** 2).mean())


def odd_errors(tracks: Tracks, held: np.ndarray, c2w: np.ndarray, lens: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """Pixel errors of the held tracks' odd observations, points from their even ones; and the track of each.

    Where the even rays are parallel, so that no point can be told, the point lies in their direction.
    """
    rows = np.flatnonzero(held[tracks.track])
    t, f, xy = tracks.track[rows], tracks.frame[rows], tracks.xy[rows].astype(np.float64)
    rank = np.arange(len(t)) - np.searchsorted(t, t)
    even = rank % 2 == 0
    points = points_or_directions(t[even], f[even], xy[even], c2w, lens, len(tracks), tracks.working_scale)
    error = reprojection_errors(points, t[~even], f[~even], xy[~even], c2w, lens)
    return error, t[~even]


def among_static(tracks: Tracks, held: np.ndarray, static: np.ndarray) -> np.ndarray:
    """Held tracks (N,) bool whose neighbours, tracks that took part, are mostly static."""
    asked, agreed = np.zeros(len(tracks)), np.zeros(len(tracks))
    length = np.bincount(tracks.track, minlength=len(tracks))
    rank = np.arange(len(tracks.track)) - np.searchsorted(tracks.track, tracks.track)
    looked = rank % np.maximum(length // LOOKS, 1)[tracks.track] == 0
    observations = Observations(tracks)
    for frame in range(tracks.frame_count):
        rows = observations.rows(frame)
        mine = rows[held[tracks.track[rows]] & looked[rows]]
        others = rows[~held[tracks.track[rows]] & (length[tracks.track[rows]] >= 4)]
        if not len(mine) or len(others) < NEIGHBOURS:
            continue
        away = np.sum((tracks.xy[mine][:, None] - tracks.xy[others][None]) ** 2, axis=2)
        near = np.argpartition(away, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        share = static[tracks.track[others]][near].mean(axis=1)
        asked[tracks.track[mine]] += 1
        agreed[tracks.track[mine]] += share
    return held & (asked > 0) & (agreed >= MIN_STATIC * asked)
