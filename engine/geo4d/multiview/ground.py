"""Depth of movers from where they touch the ground.

A mover's own parallax says nothing about its depth, but what stands on the floor is as far as the floor at
its feet. The static depth just below its lower edge gives that.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass
class Contact:
    """Where a moving region meets the static scene."""

    d: float  # inverse depth of the region
    trust: float  # 0..1: how well the contact could be seen
    mask: np.ndarray  # (h, w) bool


def contact(mask: np.ndarray, d_static: np.ndarray, weight: np.ndarray, band_px: int = 4) -> Contact:
    """Contact depth of one moving region.

    Parameters
    ----------
    mask : (h, w) bool, the region.
    d_static : (h, w) float32 inverse depth of the static scene, filled in behind the region.
    weight : (h, w) float32 how well d_static is measured there.
    """
    h, w = mask.shape
    rows = np.flatnonzero(mask.any(axis=1))
    top, bottom = rows[0], rows[-1]
    height = bottom - top + 1
    # The lowest fifth of the region's outline: feet, wheels, paws.
    lowest = mask & (np.arange(h)[:, None] >= bottom - max(2, 0.15 * height))
    columns = np.flatnonzero(lowest.any(axis=0))
    last_row = h - 1 - np.argmax(lowest[::-1], axis=0)
    band = np.zeros_like(mask)
    for k in range(1, band_px + 1):
        r = last_row[columns] + k
        ok = r < h
        band[r[ok], columns[ok]] = True
    band &= ~mask
    cut_off = float(np.mean(last_row[columns] >= h - 2))
    wt = np.where(band, weight + 1e-4 * weight.max(), 0)
    if wt.sum() <= 0 or cut_off > 0.5:
        ring = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~mask
        values = d_static[ring]
        return Contact(float(np.percentile(values, 80)) if len(values) else float(np.median(d_static)), 0.2, mask)
    d = _weighted_median(d_static[band], wt[band])
    return Contact(d, 1.0 - cut_off, mask)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    c = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(c, 0.5 * c[-1])])
