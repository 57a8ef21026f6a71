"""Movers as whole figures: one depth each, from where they touch the ground and from the network's many answers.

The network corrects pixel by pixel and takes a figure apart: a trunk nearer than the legs it stands on. Once colours
and background have made a mover whole it reaches down to its feet, so the contact is looked for again.
"""

import cv2
import numpy as np

from ..geometry.camera import Intrinsics
from . import dynamic, ground
from .depth_frame import DepthFrame

FEW = 0.1  # share of a mover's pixels; fewer do not speak for it
BETWEEN = 0.2  # how far apart parts of a figure are that have something between them, in roots of its area
HOVERS, SEEN_WELL = 1.18, 0.5  # inverse depth relative to a figure's; confidence that something is really there
CUT = 0.3  # share of a contact that the picture's edge cuts off; from there on the mover stands there or nearer


def whole(
    frame: DepthFrame, before: np.ndarray, floor: ground.Floor | None, c2w: np.ndarray, lens: Intrinsics
) -> DepthFrame:
    """A map (h, w) with each mover as an upright figure at one distance.

    The distance lies between the median of the mover's depth and what the contact says, the nearer to the contact the
    better that could be seen; a figure whose feet are below the picture is no farther than the floor at its edge. The
    median is of those of its parts that were found to move ``before`` (probability, h, w) too, unless these are but a
    few: what has been added has the depth of what is behind. What was left out within a figure and seems to hover
    before it, without having been measured well, is part of it. ``floor`` is None where none is known.
    """
    movers = dynamic.groups(frame.dynamic > dynamic.MOVES)
    if not movers:
        return frame
    d = 1 / np.maximum(frame.depth, 1e-12)
    out, moving = d.copy(), frame.dynamic.copy()
    d_floor = floor.inverse_depth(c2w, lens) if floor else None
    resting = frame.dynamic < ground.CALM
    for mask in movers:
        touch = ground.contact(mask, d, frame.confidence, frame.dynamic, d_floor, resting)
        wall = floor.upright(touch.d, c2w, lens) if floor else np.full_like(d, touch.d)
        known = mask & (before > dynamic.MOVES)
        if known.sum() < FEW * mask.sum():
            known = mask
        answered, trust = np.median(np.log(d[known] / wall[known])), touch.trust
        if touch.cut > CUT:
            answered, trust = max(answered, 0.0), trust * (1 - touch.cut)
        figure = wall * np.exp((1 - trust**2) * answered)
        hovers = _closed(mask) & (moving <= dynamic.MOVES) & (d > HOVERS * figure) & (frame.confidence < SEEN_WELL)
        moving[hovers] = dynamic.JUST_MOVES
        out = np.where(mask | hovers, figure, out)
    return DepthFrame((1 / out).astype(np.float32), frame.confidence, moving)


def _closed(mask: np.ndarray) -> np.ndarray:
    """A figure (h, w) bool with what is between its parts."""
    reach = max(1, round(BETWEEN * np.sqrt(float(mask.sum()))))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    # Without a margin, what lies at the picture's edge would count as between.
    padded = np.pad(mask.astype(np.uint8), reach)
    return cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[reach:-reach, reach:-reach] > 0
