"""Cameras that see known points at known pixels: many at once, robustly."""

from dataclasses import dataclass

import numpy as np

from ..geometry.rotation import rotations_from_vectors

_NEAR = 1e-3  # of the median depth: what lies nearer, or behind, has no say


@dataclass
class Resected:
    """B cameras in the axes of their points."""

    R: np.ndarray  # (B, 3, 3) camera to world
    c: np.ndarray  # (B, 3)
    share: np.ndarray  # (B,) of the weight that agrees
    error: np.ndarray  # (B,) median distance, in units of the image positions


def camera_points(X: np.ndarray, R: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Points (B, N, 3) in the axes of cameras R (B, 3, 3) and c (B, 3); in the points' precision."""
    w2c = np.swapaxes(R, -1, -2)
    shift = -(w2c @ c[..., None])[..., 0]
    return X @ np.swapaxes(w2c, -1, -2).astype(X.dtype) + shift[..., None, :].astype(X.dtype)


def resect(
    X: np.ndarray,
    weight: np.ndarray,
    xy: np.ndarray,
    focal: np.ndarray,
    R: np.ndarray,
    c: np.ndarray,
    rounds: int = 8,
    inlier: float = 0.02,
) -> Resected:
    """Gauss-Newton on the reprojection error of points X (B, N, 3) seen at xy (N, 2), from R (B, 3, 3) and c (B, 3).

    ``focal`` (B,) in the unit of ``xy``. A Cauchy loss whose width follows the median error; a step that does not
    lower the median error is halved.
    """
    R, c = R.astype(np.float64), c.astype(np.float64)
    weight = weight.astype(np.float32)
    total = np.maximum(weight.sum(1), 1e-12)
    seen = _seen(X, weight, xy, focal, R, c)
    damping = np.ones(len(X))
    for _ in range(rounds):
        width = np.maximum(1.5 * seen.median, 1e-4)[:, None].astype(np.float32)
        w = weight * seen.ahead / (1.0 + (seen.length / width) ** 2)
        A, g = _normal(seen.p, seen.z, seen.e, w)
        A += 1e-9 * np.maximum(np.trace(A, axis1=1, axis2=2), 1e-12)[:, None, None] * np.eye(6)
        move = -np.linalg.solve(A, g[..., None])[..., 0] * damping[:, None]
        move = np.where(np.isfinite(move), move, 0.0)
        move *= np.minimum(1.0, 0.5 / np.maximum(np.linalg.norm(move[:, :3], axis=1), 1e-12))[:, None]
        trial_R, trial_c = moved(R, c, move)
        trial = _seen(X, weight, xy, focal, trial_R, trial_c)
        better = trial.median <= seen.median * (1 + 1e-3) + 1e-7
        damping = np.where(better, np.minimum(1.0, 2 * damping), 0.3 * damping)
        R, c = np.where(better[:, None, None], trial_R, R), np.where(better[:, None], trial_c, c)
        for name, value in vars(trial).items():
            old = getattr(seen, name)
            setattr(seen, name, np.where(better.reshape(-1, *[1] * (value.ndim - 1)), value, old))
    agree = (seen.length < inlier) & seen.ahead
    return Resected(R, c, (weight * agree).sum(1) / total, seen.median)


@dataclass
class _Seen:
    """Points (B, N) as cameras see them."""

    ahead: np.ndarray  # (B, N) bool: has a say
    z: np.ndarray
    p: np.ndarray  # (B, N, 2) slopes
    e: np.ndarray  # (B, N, 2) slopes less the observed ones
    length: np.ndarray  # (B, N) of the error, in units of the image positions
    median: np.ndarray  # (B,)


def _seen(X, weight, xy, focal, R, c) -> _Seen:
    Y = camera_points(X, R, c)
    near = _NEAR * _masked_median(np.abs(Y[..., 2]), weight)
    ahead = (Y[..., 2] > np.maximum(near, 1e-12)[:, None]) & (weight > 0)
    z = np.where(ahead, Y[..., 2], np.float32(1.0))
    p = np.where(ahead[..., None], Y[..., :2] / z[..., None], np.float32(0.0))
    focal = focal[:, None].astype(np.float32)
    e = p - xy / focal[..., None]
    length = np.where(ahead, np.sqrt((e * e).sum(-1)) * focal, np.float32(10.0))
    return _Seen(ahead, z, p, e, length, _masked_median(length, weight))


def moved(R: np.ndarray, c: np.ndarray, move: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cameras after ``Y -> exp(w) Y + t`` of what they see, ``move`` (B, 6) = (w, t) in camera axes."""
    turn = rotations_from_vectors(move[:, :3])
    shifted = -(np.swapaxes(R, 1, 2) @ c[..., None])
    shifted = turn @ shifted + move[:, 3:, None]
    R = R @ np.swapaxes(turn, 1, 2)
    return R, -(R @ shifted)[..., 0]


def _normal(p, z, e, w):
    """Normal equations of the reprojection error for ``moved``: (B, 6, 6) and (B, 6) float64."""
    J = pose_jacobian(p, z)
    Jw = J * w[:, None, :, None]
    n = J.shape[1] * J.shape[2]
    flat, flat_w = (a.reshape(len(p), n, 6) for a in (J, Jw))
    residual = np.moveaxis(e, -1, 1).reshape(len(p), n, 1)
    A = np.swapaxes(flat, 1, 2) @ flat_w
    g = np.swapaxes(flat_w, 1, 2) @ residual
    return A.astype(np.float64), g[..., 0].astype(np.float64)


def pose_jacobian(p: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Derivative (..., 2, N, 6) of slopes p (..., N, 2) of points at depth z (..., N) by ``moved``'s parameters."""
    J = np.zeros((*p.shape[:-2], 2, p.shape[-2], 6), dtype=p.dtype)
    x, y, inverse = p[..., 0], p[..., 1], 1.0 / z
    J[..., 0, :, 0], J[..., 0, :, 1], J[..., 0, :, 2] = -x * y, 1 + x * x, -y
    J[..., 0, :, 3], J[..., 0, :, 5] = inverse, -x * inverse
    J[..., 1, :, 0], J[..., 1, :, 1], J[..., 1, :, 2] = -(1 + y * y), x * y, x
    J[..., 1, :, 4], J[..., 1, :, 5] = inverse, -y * inverse
    return J


def _masked_median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Median (B,) of values (B, N) where the weight is positive; 0 where nowhere."""
    order = np.sort(np.where(weight > 0, values, np.float32(np.inf)), axis=1)
    count = (weight > 0).sum(1)
    middle = order[np.arange(len(values)), np.maximum(count - 1, 0) // 2]
    return np.where(count > 0, middle, 0.0).astype(np.float64)
