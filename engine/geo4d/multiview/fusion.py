"""Measurements of neighbouring frames brought into one: what several agree on counts, what one alone says less.

Every frame is triangulated on its own, from flow with its own mistakes. Measured points of nearby frames are
projected into a frame, nearest first; where they agree with each other and with the frame's own measurement,
depth is steadier in time and reaches pixels that the frame alone could not measure.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..geometry.camera import Intrinsics

OFFSETS = (-24, -12, -6, -3, -1, 1, 3, 6, 12, 24)  # frames whose measurements are brought in
SPAN_S = 1.01  # of these, those that are not farther away in time
BORROWED = 0.6  # weight of a neighbour's measurement against the frame's own
TOLERANCE = 0.03  # relative difference of inverse depths that still agree
BAND = 16  # rows that are fused at a time, so that they stay in the processor's cache


@dataclass
class Measurement:
    """What one frame measured of the static scene on its own (float32, (h, w))."""

    d: np.ndarray  # inverse z-depth
    weight: np.ndarray  # information, 0 where nothing was measured
    moving: np.ndarray  # probability 0..1 that the pixel moves

    @cached_property
    def resting(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Column, row (pixel centres), inverse depth and weight of the measured pixels that rest, (n,) float32 each."""
        rows, columns = np.nonzero((self.weight > 0) & (self.d > 0) & (self.moving < 0.5))
        half = np.float32(0.5)
        column, row = columns.astype(np.float32) + half, rows.astype(np.float32) + half
        return column, row, self.d[rows, columns], self.weight[rows, columns]


def project_measurement(
    source: Measurement, c2w_source: np.ndarray, c2w: np.ndarray, lens_source: Intrinsics, lens: Intrinsics
) -> tuple[np.ndarray, np.ndarray]:
    """Measured points of one frame that rest, in the map of another.

    Returns inverse depth and weight (h, w) float32 in the target frame, 0 where nothing landed. Of several points
    in one pixel the nearest is kept.
    """
    h, w = source.d.shape
    out_d, out_weight = np.zeros(h * w, dtype=np.float32), np.zeros(h * w, dtype=np.float32)
    column, row, d, weight = source.resting
    # Homogeneous points (pixel, inverse depth): far points stay finite.
    relative = np.linalg.inv(c2w) @ c2w_source
    turn = (lens.matrix @ relative[:3, :3] @ np.linalg.inv(lens_source.matrix)).astype(np.float32)
    shift = (lens.matrix @ relative[:3, 3]).astype(np.float32)
    x, y, z = (turn[k, 0] * column + turn[k, 1] * row + turn[k, 2] + shift[k] * d for k in range(3))
    ahead = z > 1e-6
    z = np.where(ahead, z, 1)
    x, y = x / z, y / z
    inside = ahead & (x >= 0) & (y >= 0) & (x < w) & (y < h)
    seen = (d / z)[inside]
    at = y[inside].astype(np.intp) * w + x[inside].astype(np.intp)
    np.maximum.at(out_d, at, seen)
    nearest = seen == out_d[at]
    out_weight[at[nearest]] = weight[inside][nearest]
    return out_d.reshape(h, w), out_weight.reshape(h, w)


def fuse(own: Measurement, borrowed: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth and weight (h, w) on which most of the measurements agree.

    The proposal with the most support wins (a mode, not a mean: an occluder and what it hides are two
    populations), then the mean of those that agree with it.
    """
    D = np.stack([own.d, *(d for d, _ in borrowed)])
    W = np.stack([own.weight * (1 - own.moving), *(BORROWED * weight for _, weight in borrowed)]).astype(np.float32)
    fused, weight = np.empty_like(own.d), np.empty_like(own.d)
    for first in range(0, len(fused), BAND):
        band = slice(first, first + BAND)
        fused[band], weight[band] = _fuse_band(np.ascontiguousarray(D[:, band]), np.ascontiguousarray(W[:, band]))
    return fused, weight


def _fuse_band(D: np.ndarray, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fused inverse depth and weight of some rows of all measurements (n, rows, w)."""
    best, d = np.full(D.shape[1:], -1, dtype=np.float32), np.zeros(D.shape[1:], dtype=np.float32)
    agree = np.empty_like(D)
    for k in range(len(D)):
        support = np.where(W[k] > 0, _agreeing(D, W, D[k], agree).sum(axis=0), -1)
        better = support > best
        np.copyto(best, support, where=better)
        np.copyto(d, D[k], where=better)
    _agreeing(D, W, d, agree)
    agreed, total = agree.sum(axis=0), W.sum(axis=0)
    agree *= D
    fused = np.where(agreed > 0, agree.sum(axis=0) / np.maximum(agreed, 1e-20), 0)
    return fused, np.where(total > 0, np.minimum(agreed, 1.0) * (agreed / np.maximum(total, 1e-20)) ** 2, 0)


def _agreeing(D: np.ndarray, W: np.ndarray, d: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Weight of each of the measurements D (n, rows, w) that it keeps beside d (rows, w); into ``out``."""
    np.subtract(D, d, out=out)
    out *= 1 / np.maximum(np.float32(TOLERANCE) * d, np.float32(1e-12))
    np.clip(out, -1e3, 1e3, out=out)
    np.square(out, out=out)
    out += 1
    np.square(out, out=out)
    return np.divide(W, out, out=out)
