"""Movers as whole figures: one depth each, from where they touch the ground and from the network's many answers.

The network corrects pixel by pixel and takes a figure apart: a trunk nearer than the legs it stands on. Its mask of
what moves, though, reaches down to the feet more often than the mask it was given, so the contact is looked for again.
"""

import numpy as np

from ..geometry.camera import Intrinsics
from . import dynamic, ground
from .composition import Composition
from .depth_frame import DepthFrame

# Share that a contact seen without doubt has in a figure's depth; chosen on procedural clips.
CONTACT_SHARE = 0.8
# Probability of motion before the network from which the network's doubt does not count; also chosen on them.
SURE, KEPT = 0.8, 0.51


def whole(
    frame: DepthFrame, composition: Composition, floor: ground.Floor | None, c2w: np.ndarray, lens: Intrinsics
) -> DepthFrame:
    """A corrected map (h, w) with each mover as an upright figure at one distance.

    The distance lies between the median of the corrected depth and what the contact says, the nearer to the contact
    the better that could be seen. ``composition`` is of the same frame; ``floor`` is None where none is known.
    """
    # What surely moves by its own flow stays a mover whatever the network thinks of it.
    probability = np.where(composition.moving > SURE, np.maximum(frame.dynamic, KEPT), frame.dynamic)
    moving = probability > dynamic.MOVES
    movers = dynamic.groups(moving)
    if not movers:
        return frame
    d = 1 / np.maximum(frame.depth, 1e-12)
    static = np.where(moving, composition.static, d)
    out = d.copy()
    for mask in movers:
        touch = ground.contact(mask, static, composition.weight, probability, composition.floor)
        upright = floor.upright(touch.d, c2w, lens)[mask] if floor else np.float32(touch.d)
        answered = np.median(np.log(d[mask] / upright))
        out[mask] = upright * np.exp((1 - CONTACT_SHARE * touch.trust**2) * answered)
    return DepthFrame((1 / out).astype(np.float32), frame.confidence, probability.astype(np.float32))


def joined(frame: DepthFrame, floor: ground.Floor | None, c2w: np.ndarray, lens: Intrinsics) -> DepthFrame:
    """A map (h, w) whose movers may have grown, each at one distance again: the median of what its parts say."""
    movers = dynamic.groups(frame.dynamic > dynamic.MOVES)
    if not movers:
        return frame
    d = 1 / np.maximum(frame.depth, 1e-12)
    out = d.copy()
    for mask in movers:
        upright = floor.upright(float(np.median(d[mask])), c2w, lens)[mask] if floor else np.ones(1, np.float32)
        out[mask] = upright * np.median(d[mask] / upright)
    return DepthFrame((1 / out).astype(np.float32), frame.confidence, frame.dynamic)
