"""Edge-aware smoothing and filling of sparse maps.

The recursive domain transform (Gastal and Oliveira 2011, section 4.3) spreads values along the image but not
over its edges. Inverse depth of a plane is affine in the image, so what is spread are the moments of a local
affine fit: floors and walls continue as planes into what could not be measured.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

# Wide blurs are made of a smaller picture, as long as their radius keeps this many of its pixels; each of its pixels
# stands for at most 2 ** HALVINGS squared of them, so that edges stay where they are.
FINE_ENOUGH_PX = 8.0
HALVINGS = 2


@dataclass
class Guide:
    """The image that says where edges are: steps of the domain transform between neighbouring pixels."""

    across: np.ndarray  # (w - 1, h) float32 distance in colour between columns
    down: np.ndarray  # (h - 1, w) float32 distance in colour between rows

    @classmethod
    def of(cls, rgb: np.ndarray, sigma_level: float = 12.0) -> "Guide":
        """From an image uint8 (h, w, 3); a colour step of ``sigma_level`` counts as much as sigma_px pixels."""
        smooth = cv2.GaussianBlur(rgb, (0, 0), 0.7)
        across = _largest(cv2.absdiff(smooth[:, 1:], smooth[:, :-1])) / np.float32(sigma_level)
        down = _largest(cv2.absdiff(smooth[1:], smooth[:-1])) / np.float32(sigma_level)
        return cls(np.ascontiguousarray(across.T), down)

    @cached_property
    def halved(self) -> "Guide":
        """The guide of the picture at half its size, in which a way over edges is as long as before."""
        return Guide(_halved_steps(self.across), _halved_steps(self.down))


def _largest(steps: np.ndarray) -> np.ndarray:
    """The largest of three channels (h, w, 3) uint8, as float32."""
    red, green, blue = cv2.split(steps)
    return cv2.max(cv2.max(red, green), blue).astype(np.float32)


def _halved_steps(steps: np.ndarray) -> np.ndarray:
    """Steps (n - 1, m) between n lines as those between pairs of lines, at pairs of pixels."""
    steps = np.pad(steps, [(0, (len(steps) + 1) % 2), (0, steps.shape[1] % 2)], mode="edge")
    between = steps[1:-1:2] + 0.5 * (steps[:-2:2] + steps[2::2])
    return 0.5 * (between[:, ::2] + between[:, 1::2])


def spread(channels: np.ndarray, guide: Guide, sigma_px: float, iterations: int = 2) -> np.ndarray:
    """Edge-aware blur of channels (h, w, c) float32 by about ``sigma_px``; keeps no edge that is not in the guide."""
    # Channels between lines and their pixels: what a line's step multiplies then lies in a row.
    lines = np.ascontiguousarray(channels.transpose(0, 2, 1), dtype=np.float32)
    for n in range(iterations):
        sigma = sigma_px * np.sqrt(3.0) * 2.0 ** (iterations - n - 1) / np.sqrt(4.0**iterations - 1)
        rate = np.float32(-np.sqrt(2.0) / sigma)
        columns = _transposed(lines)
        _recurse(columns, np.exp(rate * (1 + sigma_px * guide.across)))
        lines = _transposed(columns)
        _recurse(lines, np.exp(rate * (1 + sigma_px * guide.down)))
    return np.ascontiguousarray(lines.transpose(0, 2, 1))


def _transposed(lines: np.ndarray) -> np.ndarray:
    """(n, c, m) as (m, c, n), in memory too."""
    n, c, m = lines.shape
    out = np.empty((m, c, n), dtype=lines.dtype)
    for k in range(c):
        out[:, k] = cv2.transpose(lines[:, k])
    return out


def _recurse(lines: np.ndarray, feedback: np.ndarray) -> None:
    """First-order recursive filter in place, down and up the first axis of lines (n, c, m); feedback (n - 1, m)."""
    step = np.empty_like(lines[0])
    before = lines[0]
    for line, back in itertools.chain(
        zip(lines[1:], feedback, strict=True), zip(lines[-2::-1], feedback[::-1], strict=True)
    ):
        np.subtract(before, line, out=step)
        step *= back
        line += step
        before = line


def spread_over(channels: np.ndarray, guide: Guide, scales, halvings: int = 0) -> np.ndarray:
    """Sum (h, w, c) of the blurs of ``channels`` at ``scales``, each (sigma_px, share of the sum).

    With ``halvings`` wide ones are made of a picture halved up to so many times.
    """
    total = np.zeros_like(channels)
    wider = [scale for scale in scales if scale[0] >= 2 * FINE_ENOUGH_PX] if halvings else []
    for sigma_px, share in scales:
        if (sigma_px, share) not in wider:
            total += np.float32(share) * spread(channels, guide, sigma_px)
    if wider:
        h, w = channels.shape[:2]
        half = spread_over(_halved(channels), guide.halved, [(s / 2, share) for s, share in wider], halvings - 1)
        # Of an odd number of lines the last one was made two.
        total += cv2.resize(half, (2 * half.shape[1], 2 * half.shape[0]), interpolation=cv2.INTER_LINEAR)[:h, :w]
    return total


def _halved(channels: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; what lies over the edge counts nothing."""
    h, w = channels.shape[:2]
    if h % 2 or w % 2:
        channels = np.pad(channels, [(0, h % 2), (0, w % 2), (0, 0)])
    rows = channels[::2] + channels[1::2]
    return np.float32(0.25) * (rows[:, ::2] + rows[:, 1::2])


# Blur radii of the fill in pixels, and how much each counts: the finest that has data decides.
SCALES_PX = ((3.0, 1.0), (20.0, 1e-2), (150.0, 1e-5))
SLOPE_PRIOR_PX = 4.0  # slopes are trusted once the data around a pixel reach further than this


def fill(values: np.ndarray, weights: np.ndarray, guide: Guide, scales=SCALES_PX) -> tuple[np.ndarray, np.ndarray]:
    """Edge-aware local affine fit of weighted values.

    Parameters
    ----------
    values : (h, w) float32, here inverse depth; ignored where the weight is 0.
    weights : (h, w) float32 >= 0, information of each value up to a common factor.

    Returns
    -------
    filled : (h, w) float32, everywhere finite if any weight is positive (zeros otherwise).
    support : (h, w) float32, the weight that reached each pixel at the finest scale.
    """
    h, w = values.shape
    if not np.any(weights > 0):
        return np.zeros_like(values), np.zeros_like(values)
    # Local coordinates in units of 100 pixels around the image's middle keep the moments well scaled.
    x = np.broadcast_to((np.arange(w, dtype=np.float32) - w / 2) / 100, (h, w))
    y = np.broadcast_to(((np.arange(h, dtype=np.float32) - h / 2) / 100)[:, None], (h, w))
    v = np.where(weights > 0, values, 0).astype(np.float32)
    unit = float(np.median(v[weights > 0])) or 1.0
    v = v / unit
    wt = weights.astype(np.float32)
    moments = np.dstack(
        [wt, wt * x, wt * y, wt * x * x, wt * x * y, wt * y * y, wt * v, wt * v * x, wt * v * y, wt * v * v]
    )
    (sigma_px, share), *wider = scales
    finest = spread(moments, guide, sigma_px)
    total = np.float32(share) * finest + spread_over(moments, guide, wider, HALVINGS)
    return unit * _affine_at_pixel(total, x, y), finest[..., 0].copy()


def fill_roughly(values: np.ndarray, weights: np.ndarray, guide: Guide, scales=SCALES_PX) -> np.ndarray:
    """What :func:`fill` gives (h, w), made of a picture half as large: a third of the time, edges two pixels wide."""
    h, w = values.shape
    weight, moment = cv2.split(_halved(np.dstack([weights, weights * values]).astype(np.float32)))
    mean = moment / np.maximum(weight, 1e-30)
    half, _ = fill(mean, weight, guide.halved, tuple((sigma_px / 2, share) for sigma_px, share in scales))
    # Of an odd number of lines the last one was made two.
    return cv2.resize(half, (2 * half.shape[1], 2 * half.shape[0]), interpolation=cv2.INTER_LINEAR)[:h, :w]


# The rough surface that measurements are held against, and the distance from it that leaves a quarter of their say.
ROUGH_SCALES_PX = ((8.0, 1.0), (40.0, 1e-2), (150.0, 1e-4))
OUTLIER_STEP = 0.1  # relative difference of inverse depth


def distrust_outliers(values: np.ndarray, weights: np.ndarray, guide: Guide) -> np.ndarray:
    """Weights (h, w) float32 of values, lowered where they are far from the surface through their neighbourhood.

    One reweighting with Geman-McClure weights; mirrored and mismatched spots stand out from the surface that
    the measurements around them agree on.
    """
    rough = fill_roughly(values, weights, guide, ROUGH_SCALES_PX)
    z = np.abs(values - rough) / np.maximum(np.maximum(values, rough), 1e-12) / OUTLIER_STEP
    return (weights / (1 + np.minimum(z, 100) ** 2) ** 2).astype(np.float32)


def _affine_at_pixel(m: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Value at (x, y) of the affine fit with moments m (h, w, 10), slopes held back by a ridge."""
    m = m.astype(np.float64)
    n = np.maximum(m[..., 0], 1e-30)
    mx, my, mv = m[..., 1] / n, m[..., 2] / n, m[..., 6] / n
    xx, xy, yy = m[..., 3] / n - mx * mx, m[..., 4] / n - mx * my, m[..., 5] / n - my * my
    xv, yv = m[..., 7] / n - mx * mv, m[..., 8] / n - my * mv
    ridge = (SLOPE_PRIOR_PX / 100) ** 2
    xx, yy = np.maximum(xx, 0) + ridge, np.maximum(yy, 0) + ridge
    det = np.maximum(xx * yy - xy * xy, ridge * ridge)
    sx = (yy * xv - xy * yv) / det
    sy = (xx * yv - xy * xv) / det
    slope = sx * (x - mx) + sy * (y - my)
    # An extrapolated plane never leaves the range of what supports it by much.
    spread_of_values = np.sqrt(np.maximum(m[..., 9] / n - mv * mv, 0))
    return (mv + np.clip(slope, -2.0 * spread_of_values, 2.0 * spread_of_values)).astype(np.float32)
