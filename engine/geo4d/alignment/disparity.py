"""Scale and shift of each window's disparity: reweighted least squares on the inverse depth of its points."""

from dataclasses import dataclass

import numpy as np

from .registration import World
from .residuals import window_depths
from .samples import Samples

_ROUNDS = 30
_LEAST_AGREEMENT = 0.3  # share of pixels within 25 % of the points' depth
_FEW = 50
_LEAST_SPREAD = 0.3  # of the residuals' spread, the disparity's own at least
_MOST_PIXELS = 20_000  # of a window


@dataclass
class DisparityFits:
    """``1 / depth = scale * disparity + shift`` in each of G windows."""

    scale: np.ndarray  # (G,)
    shift: np.ndarray  # (G,)
    ok: np.ndarray  # (G,) bool
    spread: float  # robust standard deviation of scale * disparity + shift off the points' inverse depth


def fit_disparity(samples: Samples, world: World, depth_spread: float) -> DisparityFits | None:
    """Fit every window; None where the model predicts no disparity.

    ``depth_spread`` is that of the points' log depth, whose share of the residuals is not the disparity's fault.
    """
    if samples.disparity is None:
        return None
    count = len(samples.frames)
    fits = DisparityFits(np.ones(count), np.zeros(count), np.zeros(count, dtype=bool), np.inf)
    residuals, usual = [], []
    for g in np.flatnonzero(world.ok):
        f, m = samples.frames[g], samples.slots[g]
        z, w = window_depths(samples, world, f, m)
        D = samples.disparity[f, m]
        use = np.flatnonzero((w > 0) & (D > 0))
        if len(use) < _FEW:
            continue
        use = use[:: max(1, len(use) // _MOST_PIXELS)]
        inverse, d, weight = (a.ravel()[use].astype(np.float64) for a in (1.0 / np.where(w > 0, z, 1.0), D, w))
        fits.scale[g], fits.shift[g] = scale_and_shift(d, inverse, weight)
        fitted = fits.scale[g] * d + fits.shift[g]
        near = (fitted > 0) & (np.maximum(fitted / inverse, inverse / np.maximum(fitted, 1e-9)) < 1.25)
        fits.ok[g] = fits.scale[g] > 0 and near.mean() > _LEAST_AGREEMENT
        if fits.ok[g]:
            residuals.append(np.abs(fitted - inverse)[::4])
            usual.append(float(np.median(inverse)))
    if residuals:
        total = float(np.median(np.concatenate(residuals))) / 0.67
        fits.spread = max(total**2 - (depth_spread * float(np.median(usual))) ** 2, (_LEAST_SPREAD * total) ** 2) ** 0.5
    return fits


def scale_and_shift(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """a, b that minimise ``weight * |a x + b - y|`` over (N,), with less say for what is far off."""
    a, b = float(np.median(y) / max(np.median(x), 1e-12)), 0.0
    floor = 1e-6 * float(np.median(np.abs(y)) or 1.0)
    for step in range(_ROUNDS):
        r = np.abs(a * x + b - y)
        w = weight / np.maximum(r, floor)
        if step > 4:
            w = w / (1.0 + (r / max(4 * float(np.median(r)), floor)) ** 2)
        total = w.sum()
        mx, my = (w * x).sum() / total, (w * y).sum() / total
        variance = (w * (x - mx) ** 2).sum()
        if variance <= 1e-12 * total * mx * mx:
            return a, float(np.median(y - a * x))
        new = float((w * (x - mx) * (y - my)).sum() / variance)
        moved = abs(new - a) * abs(mx) + abs(my - new * mx - b)
        a, b = new, float(my - new * mx)
        if moved < 1e-7 * abs(my):
            break
    return a, b
