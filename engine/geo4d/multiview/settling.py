"""Depth of neighbouring frames brought into agreement: a pass over maps that were made one by one.

Each map is corrected on its own, so neighbours disagree a little where little was measured, and that flickers.
Through the solved cameras they can be held against each other: what neighbours say of a static pixel is averaged
with what its own frame says. A mover's distance is told by each frame anew; there the median of the neighbours' counts.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from . import dynamic
from .depth_frame import DepthFrame
from .said import Said
from .working_frames import WorkingFrames

# Frames whose maps are asked: all around, so that from one frame to the next their mean changes little.
OFFSETS = tuple(k for k in range(-6, 7) if k)
GAPS = tuple(k for k in OFFSETS if k > 0)
TOLERANCE = 0.3  # of log depth, see Said

SHARED = 0.1  # of a mover's pixels that must be a mover's in the neighbour too for that to have a say

EDGE_PX = 3  # a window in which an edge leaves a neighbour nothing to say


class Known:
    """A frame's map, and what is made of it once for all frames that ask it."""

    def __init__(self, index: int, frame: DepthFrame):
        self.index, self.frame = index, frame

    @cached_property
    def said(self) -> Said:
        return Said.of(self.index, self.frame, EDGE_PX)

    @cached_property
    def moving(self) -> np.ndarray:
        return moving_depth(self.frame)


def settle(i: int, maps: Mapping[int, Known], frames: WorkingFrames) -> DepthFrame:
    """The map of frame i, moved towards those of its neighbours.

    ``maps``: frame index to map, of frame i and those of ``i + OFFSETS`` that exist. Static pixels that no neighbour
    shows are as before, and movers change as wholes.
    """
    own = maps[i].frame
    known = own.depth > 0
    calm = np.where(known, 1 - own.dynamic, 0).astype(np.float32)
    pull, total = np.zeros_like(own.depth), np.ones_like(own.depth)
    around = [j for j in (i + offset for offset in OFFSETS) if j in maps]
    for j in around:
        off, say = maps[j].said.about(frames, i, own.depth, TOLERANCE)
        say *= calm
        total += say
        say *= off
        pull += say
    pull /= total
    movers = dynamic.groups(known & (own.dynamic > dynamic.MOVES))
    moving = {j: maps[j].moving for j in (i, *around)} if movers else {}
    for mask in movers:
        pull[mask] += steadier(mask, i, moving, GAPS)
    depth = np.where(known, own.depth * np.exp(pull), 0).astype(np.float32)
    return DepthFrame(depth, own.confidence, own.dynamic)


def moving_depth(frame: DepthFrame) -> np.ndarray:
    """Depth (h, w) of what moves, 0 elsewhere."""
    return np.where(frame.dynamic > dynamic.MOVES, frame.depth, 0)


def steadier(mask: np.ndarray, i: int, moving: Mapping[int, np.ndarray], gaps: Sequence[int]) -> float:
    """By how much log depth of a mover (h, w) bool of frame i is to change: the median of what other frames say.

    They are asked in pairs, ``gaps`` frames before and after, so that what comes nearer at a steady pace is not held
    back. ``moving``: frame index to :func:`moving_depth`, of frame i and as many others as there are.
    """
    said = [0.0]
    for gap in gaps:
        pair = []
        for j in (i - gap, i + gap):
            both = mask & (moving[i] > 0) & (moving[j] > 0) if j in moving else np.zeros_like(mask)
            if both.sum() > SHARED * mask.sum():
                pair.append(float(np.median(np.log(moving[j][both] / moving[i][both]))))
        if len(pair) == 2:
            said += pair
    return float(np.median(said))
