"""Frames at a fixed pace that others are held against, prepared when first asked for and forgotten when long past."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


class KeyFrames(Generic[T]):
    """Key frames of a shot. Any thread may ask, frames about in order.

    Parameters
    ----------
    times : (F,) of the frames, seconds.
    spacing, span : seconds from one key frame to the next, and up to which those around a frame are its own.
    prepare : frame index to what is kept of it; None where there is nothing.
    """

    def __init__(self, times: np.ndarray, spacing: float, span: float, prepare: Callable[[int], T | None]):
        self.times, self.span, self.prepare = times, span, prepare
        self.least = spacing / 2  # maps right beside a frame's own have its errors
        gap = float(np.median(np.diff(times))) if len(times) > 1 else spacing
        self.step = max(1, round(spacing / max(gap, 1e-6)))
        self.kept: dict[int, T] = {}
        self._lock = Lock()

    def around(self, i: int) -> list[T]:
        """Those of frame i, earliest first."""
        away = np.abs(self.times - self.times[i])
        wanted = [j for j in np.flatnonzero((away > self.least) & (away <= self.span)).tolist() if j % self.step == 0]
        with self._lock:
            for past in [j for j in self.kept if self.times[i] - self.times[j] > 1.5 * self.span]:
                del self.kept[past]
            for j in wanted:
                if j not in self.kept and (prepared := self.prepare(j)) is not None:
                    self.kept[j] = prepared
            return [self.kept[j] for j in wanted if j in self.kept]
