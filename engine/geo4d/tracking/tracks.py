"""Long 2D tracks of a shot: what tracking hands to match-move."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Tracks:
    """Observations of N scene points in F frames, M observations in all.

    One row an observation, sorted by (track, frame). Pixels are of the full footage resolution, distorted as
    filmed, (0, 0) the top-left corner.
    """

    width: int
    height: int
    frame_count: int
    track: np.ndarray  # (M,) int32: which point, 0..N-1
    frame: np.ndarray  # (M,) int32: position in the shot, 0..F-1
    xy: np.ndarray  # (M, 2) float32: pixels
    fb_error: np.ndarray  # (M,) float32: forward-backward error in pixels, 0 for matched features
    static: np.ndarray = field(default=None)  # (N,) bool: True where the track agrees with one rigid world
    xyz: np.ndarray = field(default=None)  # (N, 3) float64: world point, NaN where never triangulated
    error_px: np.ndarray = field(default=None)  # (N,) float32: mean reprojection error, NaN where no point
    rgb: np.ndarray = field(default=None)  # (N, 3) uint8: colour where the track was first seen
    key_frames: np.ndarray = field(default=None)  # (K,) int32: frames with wide-baseline matches, None if not chosen
    working_scale: float = 1.0  # footage pixels per pixel of the image that was tracked

    def __post_init__(self):
        n = len(self)
        if self.static is None:
            self.static = np.ones(n, dtype=bool)
        if self.xyz is None:
            self.xyz = np.full((n, 3), np.nan)
        if self.error_px is None:
            self.error_px = np.full(n, np.nan, dtype=np.float32)
        if self.rgb is None:
            self.rgb = np.full((n, 3), 128, dtype=np.uint8)

    def __len__(self) -> int:
        return int(self.track[-1]) + 1 if len(self.track) else 0
