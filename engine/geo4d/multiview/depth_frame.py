"""Depth of one frame: what multi-view (and every model) hands to the scene writer."""

from dataclasses import dataclass

import numpy as np


@dataclass
class DepthFrame:
    """Maps of one frame in the *undistorted* pinhole image, h x w, covering exactly the footage's field of view.

    The lens is ``solve.lens(i).pinhole().scaled(w, h)``.
    """

    depth: np.ndarray  # (h, w) float32 z-depth in world units, 0 = none
    confidence: np.ndarray  # (h, w) float32 0..1
    dynamic: np.ndarray  # (h, w) float32 probability 0..1 that the pixel moves in the world
