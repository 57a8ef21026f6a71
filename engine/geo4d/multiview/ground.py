"""Depth of movers from where they touch the ground.

A mover's own parallax says nothing about its depth, but what stands on the floor is as far as the floor at
its feet.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.camera import Intrinsics, camera_rays, pixel_grid

LEAST_LEVEL = 0.3  # cosine of a camera's pitch
MAX_TILT_DEG = 35.0  # of the floor against the cameras' own vertical
MIN_FLOOR_POINTS = 25
FLOOR_WEIGHT = 0.05  # weight of a measurement from which the floor counts as seen
CALM = 0.05  # probability of motion below which the floor counts as seen where it is only filled in
FLOOR_AGREEMENT = 0.08
MAX_DROP = 1.2  # how far below its own edge a region may stand, in its heights
EDGE = 0.01  # of the picture's height: what lands so close to its lower edge may go on below
DECIDING = 0.03  # columns that land so much farther than the region's foot, relative, are of another foot
BEHIND_PERCENTILE = 35.0  # of inverse depth around a region that is what it stands before
NEAREST_PERCENTILE = 95.0  # a region stands on its nearest foot; between the feet the floor behind shows


@dataclass
class Floor:
    """A plane ``normal . X = offset`` in the world, the normal pointing from the floor to the cameras."""

    normal: np.ndarray  # (3,) unit
    offset: float

    def inverse_depth(self, c2w: np.ndarray, lens: Intrinsics) -> np.ndarray:
        """Inverse z-depth of the floor seen by a camera, float32 (h, w), <= 0 above its horizon."""
        rays = camera_rays(pixel_grid(lens.width, lens.height), lens.pinhole()) @ c2w[:3, :3].T
        height = float(self.normal @ c2w[:3, 3] - self.offset)
        return (-(rays @ self.normal) / max(height, 1e-9)).astype(np.float32)

    def upright(self, d_contact: float, c2w: np.ndarray, lens: Intrinsics) -> np.ndarray:
        """Inverse z-depth (h, w) float32 of a wall that stands on the floor, faces the camera, and meets the
        floor where the floor's inverse depth is ``d_contact``.

        A camera that looks down is nearer, in z-depth, to the head of a figure than to its feet.
        """
        if d_contact <= 0:
            return np.full((lens.height, lens.width), d_contact, dtype=np.float32)
        rays = camera_rays(pixel_grid(lens.width, lens.height), lens.pinhole())
        height = float(self.normal @ c2w[:3, 3] - self.offset)
        return upright_walls(np.float64(d_contact), rays, self.normal @ c2w[:3, :3], height).astype(np.float32)


def upright_walls(touch: np.ndarray, rays: np.ndarray, normal: np.ndarray, height: float) -> np.ndarray:
    """Inverse z-depth (h, w) of walls that face the camera and stand on the floor; all in camera axes.

    Parameters
    ----------
    touch : (h, w) or one for all: inverse depth > 0 where the wall behind each pixel meets the floor.
    rays : (h, w, 3) with z = 1. normal : (3,) unit, from the floor to the camera. height : of the camera above it.
    """
    rise = float(normal[2])
    level = np.array([0.0, 0.0, 1.0]) - rise * normal
    cosine = float(np.linalg.norm(level))
    if cosine < LEAST_LEVEL:  # straight down there is no front to face
        return np.broadcast_to(touch, rays.shape[:2])
    distance = (1 / touch + height * rise) / cosine  # along the floor
    d = (rays @ (level / cosine)) / np.maximum(distance, 0.2 / touch)
    return np.clip(d, 0.6 * touch, 1.6 * touch)


def fit_floor(points: np.ndarray, c2w: np.ndarray, seed: int = 0) -> Floor | None:
    """The widest plane of static points (P, 3) below all cameras (F, 4, 4), or None.

    Thickness is judged against the points' distance from the cameras; of planes with much support the lowest
    wins, because a table top is not the floor.
    """
    if len(points) < MIN_FLOOR_POINTS * 2:
        return None
    down = c2w[:, :3, 1].mean(axis=0)
    down = down / max(np.linalg.norm(down), 1e-9)
    centres = c2w[:, :3, 3]
    distance = np.median(np.linalg.norm(points - centres.mean(axis=0), axis=1))
    below = points[(points - centres.mean(axis=0)) @ down > 0.05 * distance]
    if len(below) < MIN_FLOOR_POINTS:
        return None
    rng = np.random.default_rng(seed)
    a, b, c = (below[rng.integers(0, len(below), 1500)] for _ in range(3))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    ok = length > 1e-6 * distance**2
    normals, a = normals[ok] / length[ok, None], a[ok]
    normals *= -np.sign(normals @ down)[:, None]
    upright = -(normals @ down) > np.cos(np.radians(MAX_TILT_DEG))
    normals, a = normals[upright], a[upright]
    if not len(normals):
        return None
    offsets = np.sum(normals * a, axis=1)
    gap = below @ normals.T - offsets  # (B, hypotheses) signed height over each plane
    support = np.sum(np.abs(gap) < 0.012 * distance, axis=0)
    under = np.sum(gap < -0.03 * distance, axis=0)  # the world ends at the floor
    heights = (centres @ normals.T - offsets).min(axis=0)
    value = np.where(heights > 0.02 * distance, support - 1.0 * under, -np.inf)
    best = int(np.argmax(value))
    if support[best] < MIN_FLOOR_POINTS or value[best] <= 0:
        return None
    inliers = below[np.abs(gap[:, best]) < 0.012 * distance]
    middle = inliers.mean(axis=0)
    normal = np.linalg.svd(inliers - middle, full_matrices=False)[2][2]
    normal = normal * -np.sign(normal @ down)
    return Floor(normal, float(normal @ middle))


@dataclass
class Contact:
    """Where a moving region meets the ground."""

    d: float  # inverse depth of the region
    trust: float  # 0..1: how well the contact could be seen
    cut: float = 0.0  # 0..1: how much of it the picture's lower edge cuts off; then the region is at d or nearer


def contact(
    mask: np.ndarray,
    d_static: np.ndarray,
    weight: np.ndarray,
    moving: np.ndarray,
    d_floor: np.ndarray | None,
    resting: np.ndarray | None = None,
    band_px: int = 4,
) -> Contact:
    """Contact depth of one moving region.

    Parameters
    ----------
    mask : (h, w) bool, the region.
    d_static : (h, w) float32 inverse depth of the static scene, filled in behind the region.
    weight : (h, w) float32 how well d_static is measured there.
    moving : (h, w) float32 probability that a pixel moves.
    d_floor : (h, w) float32 inverse depth of the floor, None where no floor is known.
    resting : (h, w) bool, what seconds of footage tell to be at rest and no part of a mover; None where only short
        matches were looked at, to which a planted leg rests too.
    """
    h = len(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    height = rows[-1] - rows[0] + 1
    # The lowest part of the region's outline: feet, wheels, paws.
    lowest = mask & (np.arange(h)[:, None] >= rows[-1] - max(2, 0.12 * height))
    columns = np.flatnonzero(lowest.any(axis=0))
    feet = (h - 1 - np.argmax(lowest[::-1], axis=0))[columns]
    cut_off = float(np.mean(feet >= h - 2))
    band = np.zeros_like(mask)
    for k in range(1, band_px + 1):
        inside = feet + k < h
        band[feet[inside] + k, columns[inside]] = True
    band &= ~mask
    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~mask
    # Less than the median: the depth around a mover that was found in pieces is partly its own.
    behind = float(np.percentile(d_static[near], BEHIND_PERCENTILE)) if near.any() else float(np.median(d_static))
    if d_floor is not None:
        landing = _landing(mask, d_static, weight, moving, d_floor, resting)
        if landing is not None and landing[0] > 0.7 * behind:
            # Feet below the picture stand nearer than the floor at its edge, but nobody knows how much.
            return Contact(max(landing[0], behind), landing[1] * (1.0 - 0.7 * cut_off), landing[2])
    if band.any() and cut_off < 0.5:
        d = _weighted_median(d_static[band], weight[band] + 1e-4 * max(float(weight.max()), 1e-12))
        return Contact(max(d, behind), 0.6 * (1.0 - cut_off))
    return Contact(float(np.percentile(d_static[near], 80)) if near.any() else behind, 0.2)


def _landing(mask, d_static, weight, moving, d_floor, resting) -> tuple[float, float, float] | None:
    """Inverse depth of the floor where it first shows below the region, how many columns reached it, and what share
    of those that decide do so at the picture's lower edge.

    The planted leg of a walking figure does not move, so the region seldom reaches down to the feet: what lies
    below it counts as the figure until the picture shows floor, or what is known to rest: a bollard hides the feet, and
    a car's own depth leaks into its shadow.
    """
    h = len(mask)
    shows = ((weight > FLOOR_WEIGHT) | (moving < CALM)) & (np.abs(d_static - d_floor) < FLOOR_AGREEMENT * d_floor)
    if resting is not None:
        shows |= resting & (d_floor > 0)
    shows &= ~mask
    row = np.where(shows, np.arange(h)[:, None], h)
    first = np.minimum.accumulate(row[::-1], axis=0)[::-1]  # (h, w) next row of floor from here down
    columns = np.flatnonzero(mask.any(axis=0))
    lower = h - 1 - np.argmax(mask[::-1], axis=0)[columns]
    rows = np.flatnonzero(mask.any(axis=1))
    landed = first[lower, columns]
    reached = landed - lower <= MAX_DROP * (rows[-1] - rows[0] + 1)
    reached &= landed < h
    # Where no floor shows, the region's own lowest edge is where it stands.
    lowest = ~reached & (lower > rows[-1] - 0.12 * (rows[-1] - rows[0] + 1))
    row = np.concatenate([landed[reached], lower[lowest]])
    values = d_floor[row, np.concatenate([columns[reached], columns[lowest]])]
    if not len(values):
        return None
    d = float(np.percentile(values, NEAREST_PERCENTILE))
    deciding = row[values >= d - DECIDING * abs(d)]
    return d, 0.3 + 0.7 * float(reached.mean()), float(np.mean(deciding >= h - 3 - EDGE * h))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, 0.5 * reached[-1])])
