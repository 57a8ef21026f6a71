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

MOVES = 0.5  # probability from which a pixel counts as moving
JUST_MOVES = 0.51  # what is given to what is joined to a mover
CLEAREST = 0.98  # probability beyond which what is known already is no surer

# Tracks live longer than any flow: how far and how strongly they speak for the pixels around them.
VOTE_REACH_PX = 12.0
VOTE_WEIGHT = 4.0
VOTE_DOUBT = 2e-3  # tracks a pixel below which they say little


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
    score : (h, w) float32, root mean square over the matches, 0 where there is none.
    weight : (h, w) float32, how much the matches there can be believed, 0..count.
    """
    total = np.zeros_like(d)
    weight = np.zeros_like(d)
    for o, m in zip(observations, matches, strict=True):
        believed = m.trust()
        along = np.abs(o.d - d) * o.gain
        noise = own_noise(o.across, believed)
        sigma2 = np.minimum(MIN_SIGMA_PX**2 + noise**2 + 0.25 * o.sigma**2, 1e6)
        z2 = o.across**2 / sigma2 + along**2 / (sigma2 + (2 * d_sigma * o.gain) ** 2)
        # Bounded, so that one bad match of several is not yet motion.
        total += believed * np.minimum(z2, 60.0)
        weight += believed
    return np.sqrt(total / np.maximum(weight, 1e-6)), weight


def own_noise(residual: np.ndarray, trust: np.ndarray) -> float:
    """Standard deviation of a frame's ``residual`` (h, w): most of any frame is static, so its median is noise."""
    solid = trust > 0.5
    return 1.48 * float(np.median(residual[solid])) if solid.any() else 1.0


def probability(score: np.ndarray, weight: np.ndarray, guide: Guide, votes: np.ndarray | None = None) -> np.ndarray:
    """Probability (h, w) that a pixel moves; edge-aware smooth.

    Parameters
    ----------
    score, weight : (h, w) flow evidence in standard deviations and its weight.
    votes : (h, w, 2) float32 counts of tracks that move and that are static at each pixel, or None.
    """
    logit = STEEPNESS * np.clip(score - THRESHOLD_SIGMAS, -4, 4)
    w = np.maximum(weight, 1e-3)
    smooth = spread(np.dstack([logit * w, w]).astype(np.float32), guide, 6.0)
    logit = smooth[..., 0] / smooth[..., 1]
    if votes is not None and votes.any():
        reached = spread(votes, guide, VOTE_REACH_PX)
        moves, rests = reached[..., 0], reached[..., 1]
        logit = logit + VOTE_WEIGHT * (moves - rests) / (moves + rests + VOTE_DOUBT)
    # Two passes of a small median close the pinholes that strong texture leaves.
    logit = cv2.medianBlur(cv2.medianBlur(logit.astype(np.float32), 5), 5)
    return 1 / (1 + np.exp(-logit))


def in_the_light_of(evidence: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Probability of motion (h, w) float32 that was ``before``, with ``evidence`` (log odds) added."""
    before = np.clip(before, 1 - CLEAREST, CLEAREST)
    return (1 / (1 + (1 / before - 1) * np.exp(-evidence))).astype(np.float32)


# Hysteresis: what is hardly sure to move belongs to a mover beside it.
GROW_FROM = 0.5
GROW_TO = 0.2
GROW_REACH = (0.028, 0.05)  # sideways and down, of the longer side


def grow(moving: np.ndarray) -> np.ndarray:
    """Probability of motion (h, w) with limbs joined to the movers they belong to.

    A planted leg or dark, plain clothes move little against the noise; beside a sure mover they are likely part
    of it, and on their own they are not. Probabilities of 0.2 and more near a sure mover become just above a
    half.
    """
    width, height = (2 * (max(3, round(part * max(moving.shape))) | 1) - 1 for part in GROW_REACH)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, height))
    near = cv2.dilate((moving > GROW_FROM).astype(np.uint8), kernel) > 0
    return np.where(near & (moving > GROW_TO), np.maximum(moving, JUST_MOVES), moving).astype(np.float32)


def groups(moving: np.ndarray, min_share: float = 0.0015) -> list[np.ndarray]:
    """Moving regions of a mask (h, w) bool, largest first; parts that nearly touch are one, specks are dropped.

    A walking figure falls apart where its motion is small or along the epipolar line, but its parts stand on
    the same feet.
    """
    reach = max(3, int(0.03 * max(moving.shape))) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, reach // 2) | 1, reach))
    joined = cv2.dilate(moving.astype(np.uint8), kernel)
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    labels = np.where(moving, labels, 0)
    areas = np.bincount(labels.ravel(), minlength=count)
    order = np.argsort(-areas[1:]) + 1
    return [labels == k for k in order if areas[k] >= min_share * moving.size]
