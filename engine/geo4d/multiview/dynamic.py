"""Which pixels move in the world: what their short-gap flow does that no static point could."""

import cv2
import numpy as np

from .fill import Guide, spread
from .flow import Match
from .triangulation import Observation

# A residual counts as motion once it is this many standard deviations of the frame's own static noise.
THRESHOLD_SIGMAS = 4.0
STEEPNESS = 1.2
MIN_SIGMA_PX = 0.12


def residual_evidence(
    observations: list[Observation], matches: list[Match], d: np.ndarray, d_sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far short-gap matches are from a static scene of inverse depth ``d``, in standard deviations.

    Parameters
    ----------
    observations, matches : of the same short-gap neighbours.
    d, d_sigma : (h, w) float32 inverse depth of the static scene and its uncertainty.

    Returns
    -------
    score : (h, w) float32, weighted mean over the matches, 0 where there is none.
    weight : (h, w) float32, how much the matches there can be believed, 0..count.
    """
    score = np.zeros_like(d)
    weight = np.zeros_like(d)
    for o, m in zip(observations, matches, strict=True):
        believed = np.isfinite(o.sigma) / (1 + (m.fb_error / 1.5) ** 2)
        believed = np.where(np.isfinite(believed), believed, 0).astype(np.float32)
        along = np.abs(o.d - d) * o.gain
        along_sigma = d_sigma * o.gain
        # The frame's own noise: most of any frame is static, so its median residual is noise.
        solid = believed > 0.5
        noise = 1.48 * float(np.median(o.across[solid])) if solid.any() else 1.0
        sigma2 = MIN_SIGMA_PX**2 + noise**2 + o.sigma**2 * 0.25
        sigma2 = np.where(np.isfinite(sigma2), sigma2, 1e6)
        z2 = o.across**2 / sigma2 + along**2 / (sigma2 + (2 * along_sigma) ** 2)
        score += believed * np.sqrt(z2)
        weight += believed
    return score / np.maximum(weight, 1e-6), weight


def probability(score: np.ndarray, weight: np.ndarray, guide: Guide) -> np.ndarray:
    """Probability (h, w) that a pixel moves, from evidence in standard deviations; edge-aware smooth."""
    raw = 1 / (1 + np.exp(-STEEPNESS * (score - THRESHOLD_SIGMAS)))
    w = np.maximum(weight, 1e-3)
    smooth = spread(np.dstack([raw * w, w]).astype(np.float32), guide, 6.0)
    return smooth[..., 0] / smooth[..., 1]


def carry(values: np.ndarray, flow: np.ndarray, H: np.ndarray) -> np.ndarray:
    """Values (h, w) of a neighbour seen from the reference, by flow to the turned neighbour and its turn ``H``.

    ``H`` maps reference pixel indices to the neighbour's (see :func:`.flow.turning`). Outside: 0.
    """
    h, w = values.shape
    x = np.arange(w, dtype=np.float32) + flow[..., 0]
    y = np.arange(h, dtype=np.float32)[:, None] + flow[..., 1]
    q = np.stack([x, y, np.ones_like(x)], axis=-1) @ H.T.astype(np.float32)
    return cv2.remap(values, q[..., 0] / q[..., 2], q[..., 1] / q[..., 2], cv2.INTER_LINEAR)


def components(moving: np.ndarray, min_share: float = 0.0008) -> list[np.ndarray]:
    """Connected moving regions of a mask (h, w) bool, as masks, largest first; specks are dropped."""
    closed = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA]) + 1
    least = min_share * moving.size
    return [labels == k for k in order[: count - 1] if stats[k, cv2.CC_STAT_AREA] >= least]
