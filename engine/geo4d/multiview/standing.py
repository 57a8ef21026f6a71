"""What a pixel's depth would be if it belonged to something that stands on the floor below it.

Cupboards, cars, walls and people are often plain, glossy or moving, and parallax says little of them; but where the
floor ends below them can be seen, and there they are as far as the floor.
"""

import numpy as np

from .fill import Guide, spread_over
from .ground import upright_walls

_AGREEMENT = 0.08  # relative difference of inverse depth from the floor's
_LEAST_WEIGHT = 0.05  # of a measurement that may say what is floor and what is not
# What filled depth off the floor says against it, where a measurement says 1; chosen on procedural clips.
_FILLED_IN = 0.2
_CALM = 0.05  # probability of motion below which filled depth may say that something is floor
# Blur radii in cells over which cells speak for those of the same colour, and how much each counts.
_SCALES = ((6.0, 1.0), (50.0, 1e-2))
_LEAST_SUPPORT = 1e-5
_REACH = 0.15  # of the picture's height: distance to the floor at which closeness is a half


def standing(
    rgb: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    static: np.ndarray,
    weight: np.ndarray,
    moving: np.ndarray,
    floor: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth of upright things above the nearest floor below each cell.

    Parameters
    ----------
    rgb : (h, w, 3) uint8. x, y : (h, w) rays (z = 1).
    static, weight, moving : (h, w) inverse depth of the static scene, information of its measurement, probability of
        motion.
    floor : (3,) the floor: its inverse depth is ``floor @ (x, y, 1)``.

    Returns
    -------
    d : (h, w) float32 inverse depth, 0 where no floor shows below.
    closeness : (h, w) float32, 1 on the floor itself, less the farther above it, 0 where none shows.
    """
    h = len(static)
    d_floor = floor[0] * x + floor[1] * y + floor[2]
    agrees = (d_floor > 0) & (np.abs(static - d_floor) < _AGREEMENT * np.maximum(d_floor, 1e-12))
    measured = weight > _LEAST_WEIGHT
    shows = agrees & (measured | (moving < _CALM))
    against = (measured & ~agrees) | (moving > 0.5)
    doubt = np.where(against, 1, _FILLED_IN * ~agrees)
    votes = np.dstack([shows & ~against, doubt]).astype(np.float32)
    guide = Guide.of(rgb)
    yes, no = np.moveaxis(spread_over(votes, guide, _SCALES), 2, 0)
    is_floor = (yes > no) & (yes > _LEAST_SUPPORT) & (d_floor > 0)
    row = np.arange(h)[:, None]
    below = np.minimum.accumulate(np.where(is_floor, row, h)[::-1], axis=0)[::-1]  # next row of floor from here down
    there = below < h
    touch = np.take_along_axis(d_floor, np.minimum(below, h - 1), axis=0)
    closeness = np.where(there, 1 / (1 + (below - row) / (_REACH * h)), 0)
    height = 1 / np.linalg.norm(floor)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    d = upright_walls(np.maximum(touch, 1e-12), rays, -floor * height, height)
    return np.where(there, d, 0).astype(np.float32), closeness.astype(np.float32)
