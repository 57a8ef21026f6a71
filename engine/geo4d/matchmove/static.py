"""A camera that does not move: recognised by how little the background moves."""

import numpy as np

from ..tracking.tracks import Tracks
from .observations import Observations

STILL_PX = 0.5  # of the tracked image
_CELLS = 8


def is_static(observations: Observations) -> bool:
    """True where, over every span tested, still tracks fill much of the picture."""
    count = observations.count
    spans = sorted({max(1, count // 8), max(1, count // 3), max(1, (2 * count) // 3)})
    shares = []
    for span in spans:
        starts = np.unique(np.linspace(0, count - 1 - span, 8).round().astype(int))
        shares += [still_share(observations, int(s), int(s) + span) for s in starts]
    shares = np.array([s for s in shares if np.isfinite(s)])
    return len(shares) > 0 and bool(np.percentile(shares, 20) > 0.5)


def still_share(observations: Observations, a: int, b: int) -> float:
    """Share of the picture's occupied cells where most shared tracks have stayed put; NaN with too few tracks."""
    tracks = observations.tracks
    ra, rb = observations.shared(a, b)
    if len(ra) < 10:
        return np.nan
    still = np.linalg.norm(tracks.xy[rb] - tracks.xy[ra], axis=1) < STILL_PX * tracks.working_scale
    place = np.clip(tracks.xy[ra] / [tracks.width, tracks.height] * _CELLS, 0, _CELLS - 1).astype(int)
    cell = place[:, 1] * _CELLS + place[:, 0]
    occupied = np.bincount(cell, minlength=_CELLS**2)
    quiet = np.bincount(cell[still], minlength=_CELLS**2)
    return float((2 * quiet[occupied > 0] > occupied[occupied > 0]).mean())


def still_positions(tracks: Tracks) -> tuple[np.ndarray, np.ndarray]:
    """Mean position (N, 2) of each track and the largest distance (N,) of an observation from it, in pixels."""
    n = len(tracks)
    size = np.maximum(np.bincount(tracks.track, minlength=n), 1)
    mean = np.column_stack([np.bincount(tracks.track, tracks.xy[:, i], minlength=n) / size for i in (0, 1)])
    away = np.linalg.norm(tracks.xy - mean[tracks.track], axis=1)
    furthest = np.zeros(n)
    np.maximum.at(furthest, tracks.track, away)
    return mean, furthest
