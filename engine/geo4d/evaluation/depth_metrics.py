"""Errors of depth against the true depth, after one alignment for the whole sequence."""

from dataclasses import dataclass

import numpy as np

_IRLS_STEPS = 100
_LEAST = 1e-3  # of the median depth: a shift must not turn depth negative


def fit_scale(depth: np.ndarray, truth: np.ndarray) -> float:
    """Median ratio of true to estimated depth, both (N,) and positive."""
    return float(np.median(truth / depth))


def fit_scale_shift(depth: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Scale s and shift t minimising the mean of ``|s depth + t - truth|`` over (N,) pixels.

    Reweighted least squares from the median ratio, which lands on the same L1 optimum as long gradient descent.
    """
    x, y = depth.astype(np.float64), truth.astype(np.float64)
    s, t = fit_scale(x, y), 0.0
    floor = 1e-6 * float(np.median(y))
    for _ in range(_IRLS_STEPS):
        w = 1.0 / np.maximum(np.abs(s * x + t - y), floor)
        W = w.sum()
        mx, my = (w * x).sum() / W, (w * y).sum() / W
        variance = (w * (x - mx) ** 2).sum() / W
        if variance < 1e-12 * mx * mx:  # a constant depth can only be shifted
            return s, float(np.median(y - s * x))
        new_s = float((w * (x - mx) * (y - my)).sum() / W / variance)
        new_t = float(my - new_s * mx)
        moved = abs(new_s - s) * float(np.median(x)) + abs(new_t - t)
        s, t = new_s, new_t
        if moved < 1e-9 * abs(my):
            break
    return s, t


@dataclass
class DepthErrors:
    """Running sums over pixels; the properties are the errors so far."""

    pixels: int = 0
    _abs_rel: float = 0.0
    _sq_rel: float = 0.0
    _square: float = 0.0
    _log_square: float = 0.0
    _within: tuple[int, int, int] = (0, 0, 0)  # 1.25, 1.25^2, 1.25^3

    def add(self, depth: np.ndarray, truth: np.ndarray) -> None:
        """Count aligned depth (N,) against true depth (N,) > 0, same unit."""
        depth, truth = depth.astype(np.float64), truth.astype(np.float64)
        if not len(truth):
            return
        depth = np.maximum(depth, _LEAST * float(np.median(truth)))
        difference = depth - truth
        self.pixels += len(truth)
        self._abs_rel += float((np.abs(difference) / truth).sum())
        self._sq_rel += float((difference**2 / truth).sum())
        self._square += float((difference**2).sum())
        self._log_square += float((np.log(depth / truth) ** 2).sum())
        ratio = np.maximum(depth / truth, truth / depth)
        self._within = tuple(n + int((ratio < 1.25**k).sum()) for k, n in enumerate(self._within, start=1))

    @property
    def abs_rel(self) -> float:
        """Mean of |depth - truth| / truth."""
        return self._abs_rel / self.pixels

    @property
    def sq_rel(self) -> float:
        """Mean of (depth - truth)^2 / truth."""
        return self._sq_rel / self.pixels

    @property
    def rmse(self) -> float:
        """Root mean square of depth - truth."""
        return float(np.sqrt(self._square / self.pixels))

    @property
    def log_rmse(self) -> float:
        """Root mean square of log depth - log truth."""
        return float(np.sqrt(self._log_square / self.pixels))

    @property
    def delta(self) -> float:
        """Share of pixels whose ratio to the truth is below 1.25 either way."""
        return self.deltas[0]

    @property
    def deltas(self) -> tuple[float, float, float]:
        """Shares of pixels whose ratio to the truth is below 1.25, 1.25^2 and 1.25^3 either way."""
        return tuple(n / self.pixels for n in self._within)

    def as_dict(self) -> dict:
        """Plain numbers; empty if no pixel was counted."""
        if not self.pixels:
            return {}
        return {
            "abs_rel": self.abs_rel,
            "sq_rel": self.sq_rel,
            "delta_1_25": self.delta,
            "delta_1_25_2": self.deltas[1],
            "delta_1_25_3": self.deltas[2],
            "rmse": self.rmse,
            "log_rmse": self.log_rmse,
            "pixels": self.pixels,
        }
