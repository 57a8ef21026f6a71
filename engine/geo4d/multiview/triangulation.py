"""Robust triangulation of every pixel along its own ray.

With the neighbour's rotation taken out, a point of inverse z-depth ``d`` on the ray through pixel ``x`` lands
``d * a / (1 - t_z d)`` away, where ``a = (x - c) t_z - f t_xy`` and ``t`` is the neighbour's centre in the
reference's axes. A measured shift ``u`` therefore gives ``d (a + t_z u) = u``: two linear equations, of which
one determines ``d`` and the other, across the epipolar line, says how far the match is from any static point.
"""

from dataclasses import dataclass, fields

import cv2
import numpy as np

from ..geometry.camera import Intrinsics
from .flow import Match

# Error of a good match, in pixels: a constant part and one that grows with the shift's length.
MATCH_SIGMA_PX = 0.35
MATCH_SIGMA_PER_PX = 0.015
BAND = 16  # rows that are triangulated at a time, so that they stay in the processor's cache


@dataclass
class Observation:
    """What one match says about inverse depth, per pixel of the reference (all float32, (h, w))."""

    d: np.ndarray  # inverse depth from this match alone
    gain: np.ndarray  # pixels of shift along the epipolar line per unit of inverse depth, at d
    across: np.ndarray  # distance of the match from the epipolar line, pixels
    sigma: np.ndarray  # expected error of the match in pixels, inf where there is none

    def rows(self, band: slice) -> "Observation":
        return Observation(*(values[band] for values in (self.d, self.gain, self.across, self.sigma)))


def observe(match: Match, lens: Intrinsics, texture: np.ndarray | None = None) -> Observation:
    """Linear triangulation of one match.

    ``texture`` is the smoothed structure tensor (h, w, 3) of the reference as from :func:`structure_tensor`.
    """
    h, w = match.fb_error.shape
    tx, ty, tz = (np.float32(v) for v in match.t)
    ux, uy = match.flow[..., 0], match.flow[..., 1]
    x = np.arange(w, dtype=np.float32)[None, :] + np.float32(0.5 - lens.cx)
    y = np.arange(h, dtype=np.float32)[:, None] + np.float32(0.5 - lens.cy)
    bx = (x + ux) * tz - np.float32(lens.fx) * tx
    by = (y + uy) * tz - np.float32(lens.fy) * ty
    length = np.sqrt(bx * bx + by * by)
    length = np.maximum(length, np.float32(1e-12))
    ex, ey = bx / length, by / length
    along = ex * ux + ey * uy
    across = np.abs(ex * uy - ey * ux)
    d = along / length
    # d(shift)/dd of d a / (1 - tz d) is a / (1 - tz d)^2, and b = a / (1 - tz d).
    gain = length / np.maximum(1 - tz * d, np.float32(0.05))
    variance = MATCH_SIGMA_PX**2 + (MATCH_SIGMA_PER_PX**2) * (ux * ux + uy * uy) + (0.5 * match.fb_error) ** 2
    if texture is not None:
        energy = texture[..., 0] * ex * ex + 2 * texture[..., 1] * ex * ey + texture[..., 2] * ey * ey
        variance = variance + NOISE_LEVELS**2 / np.maximum(energy, np.float32(1e-3))
    return Observation(d, gain, across, np.sqrt(variance))


# Image noise in grey levels as it limits matching: sensor noise, compression and the flow's smoothness.
NOISE_LEVELS = 1.0


def structure_tensor(gray: np.ndarray, radius_px: float = 3.0) -> np.ndarray:
    """Smoothed products of the gradient, float32 (h, w, 3) as (xx, xy, yy), in squared grey levels per pixel."""
    gx = cv2.Scharr(gray, cv2.CV_32F, 1, 0, scale=1 / 32)
    gy = cv2.Scharr(gray, cv2.CV_32F, 0, 1, scale=1 / 32)
    return cv2.GaussianBlur(np.dstack([gx * gx, gx * gy, gy * gy]), (0, 0), radius_px)


@dataclass
class Triangulated:
    """Inverse depth measured from several matches, per pixel (float32, (h, w))."""

    d: np.ndarray  # inverse z-depth, 0 where none
    sigma: np.ndarray  # its standard deviation by the matches' own errors, inf where none
    agreeing: np.ndarray  # how many matches agree (sum of their robust weights)
    possible: np.ndarray  # how many matches had a say
    residual: np.ndarray  # weighted RMS reprojection error of the agreeing matches, pixels


def triangulate(observations: list[Observation], d_limits: tuple[float, float], iterations: int = 4) -> Triangulated:
    """Inverse depth on which most observations agree.

    Each observation proposes its own ``d``; the proposal with the most support wins (a mode, not a mean:
    occlusions and movers make several populations), then reweighted least squares with Geman-McClure weights
    polishes it.
    """
    bands = [slice(first, first + BAND) for first in range(0, len(observations[0].d), BAND)]
    parts = [_triangulate_band([o.rows(band) for o in observations], d_limits, iterations) for band in bands]
    return Triangulated(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Triangulated)))


def _triangulate_band(observations: list[Observation], d_limits: tuple[float, float], iterations: int) -> Triangulated:
    D = np.stack([o.d for o in observations])
    # Precision in units of inverse depth; matches far off their epipolar line lose their say.
    S = np.stack([o.gain / o.sigma for o in observations])
    valid = np.stack([np.isfinite(o.sigma) for o in observations])
    lo, hi = d_limits
    valid &= (D > lo) & (D < hi) & (S > 0)
    off_line = np.stack([1 / (1 + (o.across / o.sigma / 2) ** 2) ** 2 for o in observations])
    trust = np.where(valid, off_line, 0).astype(np.float32)
    S = np.where(valid, S, 0).astype(np.float32)
    D = np.where(valid, D, 0).astype(np.float32)

    best = np.full(D.shape[1:], -1, dtype=np.float32)
    d = np.zeros(D.shape[1:], dtype=np.float32)
    strength = S / (S + np.maximum(S.max(axis=0), 1e-12) * 0.15)  # a match without parallax agrees with anything
    vote = trust * strength
    for k in range(len(D)):
        z = (D - D[k]) * S
        support = np.sum(vote / (1 + z * z / 4), axis=0) * (trust[k] > 0) * (0.5 + 0.5 * strength[k])
        better = support > best
        best = np.where(better, support, best)
        d = np.where(better, D[k], d)

    weight = trust
    for _ in range(iterations):
        z = (D - d) * S
        weight = trust / (1 + z * z / 4) ** 2
        information = weight * S * S
        total = information.sum(axis=0)
        d = np.where(total > 0, (information * D).sum(axis=0) / np.maximum(total, 1e-30), d)
    z = (D - d) * S
    weight = trust / (1 + z * z / 4) ** 2
    total = (weight * S * S).sum(axis=0)
    agreeing = weight.sum(axis=0)
    possible = valid.sum(axis=0).astype(np.float32)
    with np.errstate(divide="ignore"):
        sigma = np.where(total > 0, 1 / np.sqrt(total), np.inf).astype(np.float32)
    pixels = np.stack([o.gain for o in observations]) * np.abs(D - d)
    residual = np.sqrt((weight * np.where(valid, pixels, 0) ** 2).sum(axis=0) / np.maximum(agreeing, 1e-6))
    d = np.where(np.isfinite(sigma), d, 0)
    return Triangulated(d, sigma, agreeing, possible, residual.astype(np.float32))
