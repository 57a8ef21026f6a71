"""Focal length from pairs of frames, before any camera is known."""

import numpy as np

PRIOR_RATIO = 0.9  # of the longer side: a 40 mm lens on full frame, between a phone's main lens and a normal lens
RATIOS = np.geomspace(0.35, 5.0, 64)
_PRIOR_WEIGHT = 0.02
_PRIOR_SPREAD = 0.5  # natural logarithm


def prior_cost(ratios: np.ndarray) -> np.ndarray:
    """Weak preference for ordinary lenses; decides only where the pairs say nothing."""
    return _PRIOR_WEIGHT * (np.log(ratios / PRIOR_RATIO) / _PRIOR_SPREAD) ** 2


def focal_from_fundamentals(fundamentals: list[np.ndarray], width: int, height: int) -> tuple[float, np.ndarray]:
    """The focal length in pixels that makes most fundamental matrices essential, and the cost per ratio.

    With the right focal length the two non-zero singular values of ``K^T F K`` are equal (Mendonca and Cipolla
    1999). Forward motion and fixation are degenerate: their pairs are indifferent and the prior decides.
    """
    longest = max(width, height)
    cost = np.zeros(len(RATIOS))
    if fundamentals:
        F = np.stack(fundamentals)
        for i, ratio in enumerate(RATIOS):
            K = np.array([[ratio * longest, 0, width / 2], [0, ratio * longest, height / 2], [0, 0, 1]])
            s = np.linalg.svd(K.T @ F @ K, compute_uv=False)
            cost[i] = np.mean(np.log1p(((1 - s[:, 1] / s[:, 0]) / 0.03) ** 2))
    return refine_minimum(cost + prior_cost(RATIOS)) * longest, cost


def refine_minimum(cost: np.ndarray) -> float:
    """Ratio at the parabola through the least cost and its neighbours (in log ratio)."""
    i = int(np.clip(np.argmin(cost), 1, len(cost) - 2))
    a, b, c = cost[i - 1 : i + 2]
    bend = a - 2 * b + c
    shift = float(np.clip(0.5 * (a - c) / bend, -1, 1)) if bend > 1e-12 else 0.0
    return float(np.exp(np.log(RATIOS[i]) + shift * np.log(RATIOS[1] / RATIOS[0])))
