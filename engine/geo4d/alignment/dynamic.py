"""Pixels that move in the world: what other frames look straight through.

A static surface that another frame's camera should see, and sees something farther in its place, is not there at
that time. Nothing is learnt from surfaces that are hidden there, nor at the edges of depth.
"""

import cv2
import numpy as np

from ..progress import Progress
from .registration import World

_LONGER = 160  # pixels of the maps that are compared
_OFFSETS = (2, 5, 10, 17, 26, 38)  # frames
_TOLERANCE = 0.08  # of log depth, at least
_NOISE = 3.0  # times the spread of log depth
_FREE, _FULL = 0.08, 0.3  # share of frames that see through a pixel: 0 and 1


def find_dynamic(
    depth: np.ndarray,
    confidence: np.ndarray,
    world: World,
    aspect: tuple[float, float],
    spread: float,
    progress: Progress,
) -> np.ndarray:
    """Probability (F, h, w) float16 of motion, from depth (F, h, w) float16 in the world's unit.

    ``aspect`` is the picture's (width, height) in units of its longer side; ``spread`` that of log depth between
    windows.
    """
    F, h, w = depth.shape
    scale = min(1.0, _LONGER / max(h, w))
    rows, columns = max(2, round(h * scale)), max(2, round(w * scale))
    y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    pick = ((y * h).astype(int), (x * w).astype(int))
    small = np.ascontiguousarray(depth[:, pick[0], pick[1]].astype(np.float32))
    sure = confidence[:, pick[0], pick[1]].astype(np.float32)
    xy = np.stack([(x - 0.5) * aspect[0], (y - 0.5) * aspect[1]], axis=-1).astype(np.float32)
    tolerance = np.float32(np.exp(max(_TOLERANCE, _NOISE * spread)))
    kernel = np.ones((3, 3), dtype=np.uint8)
    nearest = np.stack([cv2.erode(np.where(d > 0, d, np.float32(1e9)), kernel) for d in small])
    farthest = np.stack([cv2.dilate(d, kernel) for d in small])
    out = np.zeros((F, h, w), dtype=np.float16)
    for i in range(F):
        through, there = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
        for j in _others(i, F):
            z, u, v, inside = _seen_from(small[i], xy, world, i, j, aspect, (columns, rows))
            u, v = np.where(inside, u, 0), np.where(inside, v, 0)
            weight = np.where(inside, sure[j][v, u], 0)
            free = nearest[j][v, u] > tolerance * z
            same = ~free & (farthest[j][v, u] > z / tolerance)
            known = nearest[j][v, u] < 1e8
            through += weight * (free & known)
            there += weight * (same & known)
        share = through / np.maximum(through + there, 1e-6)
        value = np.clip((share - _FREE) / (_FULL - _FREE), 0, 1) * (small[i] > 0) * np.minimum(1, through / 0.5)
        value = cv2.medianBlur(value.astype(np.float32), 3)
        out[i] = cv2.resize(value, (w, h), interpolation=cv2.INTER_LINEAR)
        progress.advance("align", i + 1, F)
    return out


def _others(i: int, F: int) -> list[int]:
    return [j for d in _OFFSETS for j in (i - d, i + d) if 0 <= j < F]


def _seen_from(depth, xy, world: World, i, j, aspect, size):
    """Depth and pixel in frame j of frame i's points, and where that lies inside the picture."""
    rays = np.concatenate([xy / np.float32(world.focal[i]), np.ones_like(xy[..., :1])], axis=-1)
    A = (world.R[j].T @ world.R[i]).astype(np.float32)
    b = (world.R[j].T @ (world.c[i] - world.c[j])).astype(np.float32)
    Y = (rays * depth[..., None]) @ A.T + b
    z = Y[..., 2]
    ahead = (z > 1e-3) & (depth > 0)
    p = Y[..., :2] / np.where(ahead, z, np.float32(1.0))[..., None] * np.float32(world.focal[j])
    u = np.floor(np.clip((p[..., 0] / aspect[0] + 0.5) * size[0], -1, size[0])).astype(np.int32)
    v = np.floor(np.clip((p[..., 1] / aspect[1] + 0.5) * size[1], -1, size[1])).astype(np.int32)
    inside = ahead & (u >= 0) & (v >= 0) & (u < size[0]) & (v < size[1])
    return z, u, v, inside
