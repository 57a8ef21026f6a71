"""What the decoded channels mean: point map with confidence, disparity, rays; and their normalisation in training.

All arrays are NumPy, frames first and channels last. Points are (x, y, z) in the axes of the window's first
camera (OpenCV), up to scale and an offset of z.
"""

import numpy as np

# The reference marks sky by the coordinate 1.05 in all three channels; its benchmark accepts 0.10 around it.
SKY_VALUE = 1.05
SKY_TOLERANCE = 0.10
_FAR = 1.99  # coordinates are clamped to 2 in training
_SPREAD = 2.0  # x and y are twice the size of z
_LOW, _HIGH, _MARGIN = 0.02, 0.98, 0.01
_DISPARITY_INVALID, _DISPARITY_LIMIT, _POINT_LIMIT = -1.05, 1.1, 2.0


def decode_points(
    coordinates: np.ndarray, uncertainty: np.ndarray, sky_tolerance: float = SKY_TOLERANCE
) -> tuple[np.ndarray, np.ndarray]:
    """Points (..., 3) and their weights (..., 1) from decoded coordinates (..., 3) and raw uncertainty (..., 1).

    The weight is the inverse of the predicted deviation, and 0 in the sky and beyond the trained range.
    """
    invalid = invalid_points(coordinates, sky_tolerance)
    deviation = np.logaddexp(0.0, uncertainty)
    weight = np.where(invalid, 0.0, 1.0 / np.maximum(deviation, np.finfo(np.float32).tiny))
    points = np.concatenate([coordinates[..., :2] / _SPREAD, (coordinates[..., 2:] + 1.0) / 2.0], axis=-1)
    return points.astype(np.float32), weight.astype(np.float32)


def invalid_points(coordinates: np.ndarray, sky_tolerance: float = SKY_TOLERANCE) -> np.ndarray:
    """(..., 1) bool: sky, or beyond the range that the network was trained on."""
    sky = (np.abs(coordinates - SKY_VALUE) < sky_tolerance).all(axis=-1, keepdims=True)
    return sky | (np.abs(coordinates) > _FAR).any(axis=-1, keepdims=True)


def decode_disparity(picture: np.ndarray) -> np.ndarray:
    """Disparity (..., 1), nominally 0..1 and known up to scale and shift, from a decoded picture (..., 3)."""
    return (picture.mean(axis=-1, keepdims=True) + 1.0) / 2.0


def decode_directions(picture: np.ndarray) -> np.ndarray:
    """Unit ray directions (..., 3) from a decoded picture (..., 3)."""
    return picture / np.maximum(np.linalg.norm(picture, axis=-1, keepdims=True), 1e-12)


def normalise_points(points: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Points (T, H, W, 3) of a window to network coordinates; also returns the scale s and the offset of z.

    Inverse of :func:`decode_points` up to s and the offset; invalid points become the sky value.
    """
    low, high = _range(points[..., 2][valid])
    s = high - low
    out = np.concatenate([_SPREAD * points[..., :2] / s, 2.0 * (points[..., 2:] - low) / s - 1.0], axis=-1)
    out = np.where(valid[..., None], out, SKY_VALUE)
    return np.clip(out, -_POINT_LIMIT, _POINT_LIMIT).astype(np.float32), s, low


def normalise_disparity(depth: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, float, float]:
    """z-depth (T, H, W, 1) to disparity as the network is trained on it; also returns its scale and offset."""
    disparity = 1.0 / (depth + 1e-8)
    low, high = _range(disparity[..., 0][valid])
    s = high - low
    out = np.where(valid[..., None], 2.0 * (disparity - low) / s - 1.0, _DISPARITY_INVALID)
    return np.clip(out, -_DISPARITY_LIMIT, _DISPARITY_LIMIT).astype(np.float32), s, low


def _range(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        raise ValueError("a window without a single valid pixel cannot be normalised")
    ordered = np.sort(values)
    low, high = ordered[int(_LOW * len(ordered))], ordered[min(int(_HIGH * len(ordered)), len(ordered) - 1)]
    return float(low) - _MARGIN, float(high) + _MARGIN
