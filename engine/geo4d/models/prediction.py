"""What every model returns for a window of frames: any subset of maps, in one frame of reference."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Prediction:
    """Maps of T frames, in the axes of the window's first camera (OpenCV), up to one scale for the window.

    All maps are float32. ``width`` and ``height`` are the size the model saw; the footage was resized to it without
    cropping, so that intrinsics scale by ``width / footage width`` in x and ``height / footage height`` in y.
    Alignment uses what is there; None = not predicted.
    """

    positions: np.ndarray  # (T,) int64 of the shot, each once
    width: int
    height: int
    points: np.ndarray | None = None  # (T, H, W, 3); z has an unknown offset where points_z_offset
    points_weight: np.ndarray | None = None  # (T, H, W): inverse deviation, 0 = invalid
    points_z_offset: bool = False
    disparity: np.ndarray | None = None  # (T, H, W), up to scale and shift
    depth: np.ndarray | None = None  # (T, H, W) z-depth
    ray_direction: np.ndarray | None = None  # (T, h, w, 3) unit vectors; may be coarser than the other maps
    ray_moment: np.ndarray | None = None  # (T, h, w, 3) origin x direction
    normals: np.ndarray | None = None  # (T, H, W, 3)
    dynamic: np.ndarray | None = None  # (T, H, W) probability 0..1
    c2w: np.ndarray | None = None  # (T, 4, 4) float64, relative to the window's first camera
    confidence: np.ndarray | None = None  # (T, H, W) of depth, points without weight and disparity; > 0, any scale
    fx: np.ndarray | None = None  # (T,) float64 focal length in pixels of the width x height the model saw
    fy: np.ndarray | None = None  # (T,) float64

    def __len__(self) -> int:
        return len(self.positions)
