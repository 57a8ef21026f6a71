"""Pinhole cameras with one radial term.

OpenCV axes (x right, y down, z forward). Pixel (0, 0) is the top-left *corner*, so the first pixel's centre
is at (0.5, 0.5). Camera poses are camera-to-world 4x4 matrices ``c2w``.
"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Intrinsics:
    """Lens of one frame, in pixels of an image of ``width`` x ``height``.

    ``k1`` is the radial term of COLMAP's SIMPLE_RADIAL (and of the first term of Blender's POLYNOMIAL): a
    point at normalised undistorted position ``p`` appears at ``p * (1 + k1 * |p|^2)``.

    ``fx``, ``fy``, ``cx``, ``cy`` may also be arrays: one lens each along the leading axes of the pixels or points
    handed over together with it (a zoom; see :meth:`at`). ``matrix`` wants plain numbers.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    k1: float = 0.0

    def scaled(self, width: int, height: int) -> "Intrinsics":
        """The same lens for the image resampled to ``width`` x ``height``."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx,
            cy=self.cy * sy,
        )

    def at(self, frames: np.ndarray) -> "Intrinsics":
        """The lenses of ``frames`` (M,) where this holds one a frame, itself where it holds a single one."""
        if np.ndim(self.fx) == 0:
            return self
        return replace(self, fx=self.fx[frames], fy=self.fy[frames], cx=self.cx[frames], cy=self.cy[frames])

    @property
    def focal(self) -> np.ndarray:
        """(fx, fy) in the last axis."""
        return np.stack([self.fx, self.fy], axis=-1)

    @property
    def centre(self) -> np.ndarray:
        """(cx, cy) in the last axis."""
        return np.stack([self.cx, self.cy], axis=-1)

    def pinhole(self) -> "Intrinsics":
        """The same lens after the plate has been undistorted."""
        return replace(self, k1=0.0)

    @property
    def matrix(self) -> np.ndarray:
        """3x3 calibration matrix K, float64."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)


def distort(normalised: np.ndarray, k1: float) -> np.ndarray:
    """Undistorted normalised coordinates (..., 2) to distorted ones."""
    r2 = np.sum(normalised * normalised, axis=-1, keepdims=True)
    return normalised * (1.0 + k1 * r2)


def undistort(normalised: np.ndarray, k1: float, iterations: int = 20) -> np.ndarray:
    """Inverse of :func:`distort` by Newton steps on the radius; exact to 1e-12 for any lens in use."""
    if k1 == 0.0:
        return normalised
    rd = np.sqrt(np.sum(normalised * normalised, axis=-1, keepdims=True))
    r = rd.copy()
    for _ in range(iterations):
        slope = 1.0 + 3.0 * k1 * r * r
        r = r - (r * (1.0 + k1 * r * r) - rd) / np.where(np.abs(slope) < 1e-3, 1e-3, slope)
    return normalised * np.where(rd > 0, r / np.where(rd > 0, rd, 1.0), 1.0)


def project(points_world: np.ndarray, c2w: np.ndarray, lens: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """World points (..., 3) to pixels (..., 2) and z-depth (...).

    Pixels of points behind the camera are NaN.
    """
    w2c = invert_pose(c2w)
    cam = points_world @ w2c[:3, :3].T + w2c[:3, 3]
    z = cam[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        n = cam[..., :2] / np.where(z > 0, z, np.nan)[..., None]
    if lens.k1:
        n = distort(n, lens.k1)
    return n * lens.focal + lens.centre, z


def pixel_grid(width: int, height: int) -> np.ndarray:
    """Pixel centres of an image, float64 (height, width, 2) as (x, y)."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x, y], axis=-1)


def camera_rays(pixels: np.ndarray, lens: Intrinsics) -> np.ndarray:
    """Rays (..., 3) with z = 1 in camera axes through pixels (..., 2), distortion removed."""
    n = (pixels - lens.centre) / lens.focal
    n = undistort(n, lens.k1)
    return np.concatenate([n, np.ones_like(n[..., :1])], axis=-1)


def unproject(pixels: np.ndarray, depth: np.ndarray, c2w: np.ndarray, lens: Intrinsics) -> np.ndarray:
    """Pixels (..., 2) with z-depth (...) to world points (..., 3)."""
    cam = camera_rays(pixels, lens) * depth[..., None]
    return cam @ c2w[:3, :3].T + c2w[:3, 3]


def invert_pose(pose: np.ndarray) -> np.ndarray:
    """Inverse of rigid 4x4 transforms (..., 4, 4)."""
    R = pose[..., :3, :3]
    t = pose[..., :3, 3]
    out = np.zeros_like(pose, dtype=np.float64)
    Rt = np.swapaxes(R, -1, -2)
    out[..., :3, :3] = Rt
    out[..., :3, 3] = -(Rt @ t[..., None])[..., 0]
    out[..., 3, 3] = 1.0
    return out
