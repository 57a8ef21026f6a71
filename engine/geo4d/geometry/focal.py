"""Focal length and depth offset of a point map whose z is only known up to a constant."""

import numpy as np

_RELATIVE_GAIN = 1e-3  # stop when a step would lower the squared error by less than this share, as the reference does
_MAX_STEPS = 100


def focal_from_points(points: np.ndarray, mask: np.ndarray | None = None) -> tuple[float, float]:
    """Focal length in pixels and z shift of a point map (H, W, 3) in camera axes.

    Finds t such that ``x / (z + t), y / (z + t)`` is proportional to the pixel's distance from the image centre
    (pixel centres at half numbers, square pixels), by Gauss-Newton steps on t alone; the focal length follows in
    closed form. ``mask`` (H, W) chooses the pixels. Raises ValueError for fewer than 3 of them or none that
    agree on a finite focal length.
    """
    height, width = points.shape[:2]
    diagonal = np.hypot(width, height)
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    uv = np.stack([x, y], axis=-1) * (2.0 / diagonal)
    if mask is not None:
        points, uv = points[mask], uv[mask]
    points, uv = points.reshape(-1, 3).astype(np.float64), uv.reshape(-1, 2)
    if len(points) < 3:
        raise ValueError(f"a focal length needs at least 3 points, got {len(points)}")
    shift = _fit_shift(points[:, :2], points[:, 2], uv)
    focal = _focal(points[:, :2] / (points[:, 2] + shift)[:, None], uv) * diagonal / 2
    if not np.isfinite(focal) or focal <= 0:
        raise ValueError(f"the points fit no camera (focal length {focal})")
    return float(focal), float(shift)


def _focal(projected: np.ndarray, uv: np.ndarray) -> float:
    return float((projected * uv).sum() / (projected * projected).sum())


def _residual(xy: np.ndarray, z: np.ndarray, uv: np.ndarray, shift: float) -> np.ndarray:
    projected = xy / (z + shift)[:, None]
    return (_focal(projected, uv) * projected - uv).ravel()


def _fit_shift(xy: np.ndarray, z: np.ndarray, uv: np.ndarray) -> float:
    shift, damping = 0.0, 1.0
    error = _residual(xy, z, uv, shift)
    for _ in range(_MAX_STEPS):
        step = 1e-7 * max(1.0, abs(shift))
        slope = (_residual(xy, z, uv, shift + step) - error) / step
        curvature = slope @ slope
        if curvature < 1e-30 or error @ error < 1e-30:
            break
        move = -damping * (slope @ error) / curvature
        with np.errstate(divide="ignore", invalid="ignore"):
            trial = _residual(xy, z, uv, shift + move)
        before, after = error @ error, trial @ trial
        promised = (move * move * curvature) / before
        gained = 1.0 - after / before
        if not np.isfinite(after) or gained < 1e-4 * promised:
            if promised < _RELATIVE_GAIN:
                break
            damping *= 0.25
            continue
        shift, error, damping = shift + move, trial, min(1.0, 2 * damping)
        if abs(gained) <= _RELATIVE_GAIN and promised <= _RELATIVE_GAIN:
            break
    return shift
