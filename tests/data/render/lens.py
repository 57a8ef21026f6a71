"""Lens of a sample clip and the picture that is rendered for it. NumPy alone: both halves of the work use it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Lens:
    """Footage size, focal length in footage pixels, principal point in the middle, SIMPLE_RADIAL ``k1``.

    ``overscan`` is how much wider than the footage the undistorted render is, ``detail`` how many render pixels
    one footage pixel has along x; both are 1 without distortion.
    """

    width: int
    height: int
    focal_px: float
    k1: float = 0.0
    overscan: float = 1.0
    detail: float = 1.0

    @property
    def render_size(self) -> tuple[int, int]:
        """Width and height of the undistorted render."""
        factor = self.overscan * self.detail
        return round(self.width * factor / 2) * 2, round(self.height * factor / 2) * 2

    def rays(self, width: int, height: int) -> np.ndarray:
        """Undistorted rays (height, width, 2), z = 1, through the pixel centres of the footage at that size.

        A point at undistorted ``p`` is filmed at ``p * (1 + k1 * |p|^2)``; Newton steps invert it.
        """
        x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
        filmed = np.stack([(x - 0.5) * self.width, (y - 0.5) * self.height], -1) / self.focal_px
        rd = np.linalg.norm(filmed, axis=-1)
        r = rd.copy()
        for _ in range(20):
            r -= (r * (1 + self.k1 * r * r) - rd) / (1 + 3 * self.k1 * r * r)
        return filmed * np.where(rd > 0, r / np.maximum(rd, 1e-12), 1.0)[..., None]
