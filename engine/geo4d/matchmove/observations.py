"""Tracks looked up by frame: which points two frames share, and where."""

import numpy as np

from ..tracking.tracks import Tracks


class Observations:
    """Rows of a :class:`Tracks` grouped by frame, each group sorted by track."""

    def __init__(self, tracks: Tracks):
        self.tracks = tracks
        self.count = tracks.frame_count
        order = np.lexsort((tracks.track, tracks.frame))
        bounds = np.searchsorted(tracks.frame[order], np.arange(self.count + 1))
        self._rows = [order[bounds[f] : bounds[f + 1]] for f in range(self.count)]

    def rows(self, frame: int) -> np.ndarray:
        """Rows of the tracks' arrays that belong to ``frame``, sorted by track."""
        return self._rows[frame]

    def shared(self, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows in frame ``a`` and in frame ``b`` of the tracks seen in both."""
        ra, rb = self._rows[a], self._rows[b]
        t = self.tracks.track
        _, i, j = np.intersect1d(t[ra], t[rb], assume_unique=True, return_indices=True)
        return ra[i], rb[j]


def pick_key_frames(tracks: Tracks, most: int = 120) -> np.ndarray:
    """Frames (K,) that the mappers work on: tracking's own key frames, or evenly spaced ones, at most ``most``."""
    keys = tracks.key_frames
    if keys is None or len(keys) < 3:
        keys = np.unique(np.linspace(0, tracks.frame_count - 1, min(tracks.frame_count, 40)).round().astype(int))
    if len(keys) > most:
        keys = keys[np.unique(np.linspace(0, len(keys) - 1, most).round().astype(int))]
    return np.asarray(keys, dtype=np.int64)


def thin(tracks: Tracks, frames: np.ndarray, per_frame: int, cells: int = 150) -> np.ndarray:
    """Which tracks (N,) bool suffice for ``frames``: the longest ones of every part of every frame.

    Each frame keeps about ``per_frame`` tracks, an equal share for each of about ``cells`` cells, those seen in
    most of ``frames`` first; tracks seen in fewer than three of them are left out.
    """
    inside = np.zeros(tracks.frame_count, dtype=bool)
    inside[frames] = True
    rows = np.flatnonzero(inside[tracks.frame])
    t, f = tracks.track[rows], tracks.frame[rows]
    length = np.bincount(t, minlength=len(tracks))
    side = np.sqrt(tracks.width * tracks.height / cells)
    columns, lines = int(np.ceil(tracks.width / side)), int(np.ceil(tracks.height / side))
    place = np.clip((tracks.xy[rows] / side).astype(np.int64), 0, [columns - 1, lines - 1])
    cell = (f.astype(np.int64) * lines + place[:, 1]) * columns + place[:, 0]
    # Longest first within a cell; among equals the track number decides, which keeps the choice repeatable.
    order = np.lexsort((t, -length[t], cell))
    cell = cell[order]
    rank = np.arange(len(cell)) - np.searchsorted(cell, cell)
    chosen = np.zeros(len(tracks), dtype=bool)
    chosen[t[order][rank < max(1, round(per_frame / (columns * lines)))]] = True
    return chosen & (length >= 3)
