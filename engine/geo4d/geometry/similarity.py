"""Closed-form similarity between two point sets (Umeyama 1991)."""

import numpy as np


def umeyama(
    source: np.ndarray, target: np.ndarray, with_scale: bool = True, weights: np.ndarray | None = None
) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale s, rotation R (3, 3) and translation t (3,) minimising ``w |s R source + t - target|^2``.

    ``source`` and ``target`` are (N, 3) with N >= 3, ``weights`` (N,) not negative (default: all equal). Raises
    ValueError for fewer points or no weight. A degenerate source (all points equal) yields s = 1.
    """
    if len(source) < 3 or len(source) != len(target):
        raise ValueError(f"umeyama needs at least 3 matched points, got {len(source)} and {len(target)}")
    share = np.full((len(source), 1), 1.0 / len(source))
    if weights is not None:
        total = float(np.sum(weights, dtype=np.float64))
        if not total > 0:
            raise ValueError(f"umeyama needs a positive sum of weights, got {total}")
        share = np.asarray(weights, dtype=np.float64)[:, None] / total
    mu_s, mu_t = (share * source).sum(0), (share * target).sum(0)
    a, b = source - mu_s, target - mu_t
    U, D, Vt = np.linalg.svd((share * b).T @ a)
    S = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt)) or 1.0])
    R = U @ np.diag(S) @ Vt
    variance = (share * a * a).sum()
    s = float((D * S).sum() / variance) if with_scale and variance > 1e-18 else 1.0
    return s, R, mu_t - s * R @ mu_s
