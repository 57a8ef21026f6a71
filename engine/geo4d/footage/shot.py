"""A shot: the frames that a run works on, decoded on demand."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np


class Shot(Protocol):
    """What every stage knows of the footage.

    Sizes are after rotation metadata has been applied. ``indices`` are 0-based positions in the footage (for
    image sequences: file number minus the first file's number), ``times`` are seconds from the footage's own
    time stamps. Positions (0..F-1) count the frames of the shot, after range and step.
    """

    path: str
    width: int
    height: int
    fps: float
    indices: np.ndarray  # (F,) int64
    times: np.ndarray  # (F,) float64
    frame_count: int  # of the whole footage, before range and step
    variable_frame_rate: bool
    pixel_aspect: float  # width of a pixel over its height
    gaps: list[int]  # footage indices of the range that have no file
    warnings: list[tuple[str, str, str]]  # (code, message, hint), ready for Progress.warn

    def __len__(self) -> int: ...

    def read(self, size: tuple[int, int] | None = None, gray: bool = False, start: int = 0) -> Iterator[np.ndarray]:
        """Frames in order from position ``start``, uint8 (h, w, 3) RGB or (h, w) luma, at ``size`` = (w, h).

        Decoded one at a time in display space (linear float footage is view-transformed to sRGB); downscaling
        is by area. Raises FootageError naming the frame when one cannot be decoded.
        """
        ...

    def read_at(
        self, positions: Sequence[int], size: tuple[int, int] | None = None, gray: bool = False
    ) -> list[np.ndarray]:
        """A few frames by position, as :meth:`read` gives them."""
        ...

    def content_hash(self) -> str:
        """Hex digest of the footage's bytes and of the chosen range and step: the footage part of a cache key."""
        ...
