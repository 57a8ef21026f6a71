"""Closed-form similarity between two point sets (Umeyama 1991)."""

import numpy as np


def umeyama(source: np.ndarray, target: np.ndarray, with_scale: bool = True) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale s, rotation R (3, 3) and translation t (3,) minimising ``|s R source + t - target|^2``.

    ``source`` and ``target`` are (N, 3) with N >= 3. Raises ValueError for fewer points. A degenerate source
    (all points equal) yields s = 1.
    """
    if len(source) < 3 or len(source) != len(target):
        raise ValueError(f"umeyama needs at least 3 matched points, got {len(source)} and {len(target)}")
    mu_s, mu_t = source.mean(0), target.mean(0)
    a, b = source - mu_s, target - mu_t
    U, D, Vt = np.linalg.svd(b.T @ a / len(a))
    S = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt)) or 1.0])
    R = U @ np.diag(S) @ Vt
    variance = (a * a).sum() / len(a)
    s = float((D * S).sum() / variance) if with_scale and variance > 1e-18 else 1.0
    return s, R, mu_t - s * R @ mu_s
