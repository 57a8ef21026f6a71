"""What match-move (and, later, alignment) hands to everything downstream: one camera per frame, one world."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..geometry.camera import Intrinsics

Motion = Literal["moving", "tripod", "static"]

# How a frame's pose came about; stored in Solve.pose_source and, by name, in scene.json.
POSE_SOLVED = 0  # part of the bundle adjustment
POSE_RESECTED = 1  # found afterwards from points of the solved frames
POSE_INTERPOLATED = 2  # no usable observations: between its neighbours
POSE_HELD = 3  # a camera known not to move
POSE_NAMES = ("solved", "resected", "interpolated", "held")


@dataclass
class Solve:
    """Cameras of a shot's F frames and P static points in one world.

    World: OpenCV axes, arbitrary scale, right-handed; ``up`` points against gravity where that is known.
    Intrinsics refer to the full footage resolution.
    """

    width: int
    height: int
    motion: Motion
    c2w: np.ndarray  # (F, 4, 4) float64 camera-to-world
    fx: np.ndarray  # (F,) float64 pixels
    fy: np.ndarray  # (F,) float64 pixels
    cx: np.ndarray  # (F,) float64 pixels
    cy: np.ndarray  # (F,) float64 pixels
    k1: float  # radial term, see geometry.camera.Intrinsics
    pose_source: np.ndarray  # (F,) uint8, POSE_*
    reprojection_error_px: np.ndarray  # (F,) float32 median over the frame's points, NaN where none
    points: np.ndarray  # (P, 3) float64 static points
    points_rgb: np.ndarray  # (P, 3) uint8
    points_error_px: np.ndarray  # (P,) float32 mean reprojection error
    up: np.ndarray = field(default_factory=lambda: np.array([0.0, -1.0, 0.0]))
    statistics: dict = field(default_factory=dict)  # plain numbers and strings for scene.json
    quality: np.ndarray | None = None  # (F,) quality.FRAME_QUALITY, None where not judged

    def lens(self, frame: int) -> Intrinsics:
        """Intrinsics of one frame at footage resolution."""
        return Intrinsics(
            self.width,
            self.height,
            float(self.fx[frame]),
            float(self.fy[frame]),
            float(self.cx[frame]),
            float(self.cy[frame]),
            self.k1,
        )

    def lenses(self) -> Intrinsics:
        """Intrinsics of all frames in one: ``fx``, ``fy``, ``cx``, ``cy`` are (F,)."""
        return Intrinsics(self.width, self.height, self.fx, self.fy, self.cx, self.cy, self.k1)

    def __len__(self) -> int:
        return len(self.c2w)
