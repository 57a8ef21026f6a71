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
