"""Probability of motion in agreement with the frames shortly before and after, carried over by flow.

What is found to move flickers: a leg that rests for a moment, a trunk that moves along its epipolar lines. Flow takes
each pixel to what it was a tenth of a second ago, moving or not, so that such frames learn from others.
"""

from collections.abc import Mapping

import cv2
import numpy as np

from . import dynamic
from .flow import Match
from .working_frames import WorkingFrames

# By how much log odds of the network's motion are raised. It misses more than it invents; with this, what is found
# overlaps most with what moves (procedural clips).
RAISED = 1.0


def in_agreement(i: int, own: Mapping[int, np.ndarray], matches: list[Match], frames: WorkingFrames) -> np.ndarray:
    """Probability of motion (h, w) float32 of frame i, the mean in log odds of its own and what neighbours say,
    raised.

    Parameters
    ----------
    own : frame index to probability (h, w), of frame i and its neighbours; those missing are not asked.
    matches : of frame i with its neighbours.
    """
    total, weight = _log_odds(own[i]), np.ones_like(own[i], dtype=np.float32)
    for match in matches:
        if match.j not in own:
            continue
        u, v = match.landing(frames, i)
        said = cv2.remap(_log_odds(own[match.j]), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        trust = match.trust().astype(np.float32)
        total = total + trust * said
        weight += trust
    return (1 / (1 + np.exp(-total / weight - RAISED))).astype(np.float32)


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1 - dynamic.CLEAREST, dynamic.CLEAREST)
    return np.log(p / (1 - p)).astype(np.float32)
