"""Depth of neighbouring frames brought into agreement: a pass over maps that were made one by one.

Each map is corrected on its own, so neighbours disagree a little where little was measured, and that flickers.
Through the solved cameras they can be held against each other: what neighbours say of a static pixel is averaged
with what its own frame says. A mover's distance is told by each frame anew; there the median of the neighbours' counts.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from ..geometry.camera import Intrinsics
from . import dynamic
from .depth_frame import DepthFrame

# Frames whose maps are asked: all around, so that from one frame to the next their mean changes little.
OFFSETS = tuple(k for k in range(-6, 7) if k)
GAPS = tuple(k for k in OFFSETS if k > 0)
TOLERANCE = 0.3  # of log depth: a neighbour so far off has a quarter of its say, an occluder has none

SHARED = 0.1  # of a mover's pixels that must be a mover's in the neighbour too for that to have a say

EDGE = 0.15  # relative difference of inverse depth of adjoining pixels that is an edge


def settle(i: int, maps: Mapping[int, DepthFrame], c2w: np.ndarray, lenses: list[Intrinsics]) -> DepthFrame:
    """The map of frame i, moved towards those of its neighbours.

    Parameters
    ----------
    maps : frame index to map, of frame i and those of ``i + OFFSETS`` that exist; all of one size (h, w).
    c2w : (F, 4, 4) camera-to-world. lenses : F pinholes at (w, h).

    Returns
    -------
    A new map. Static pixels that no neighbour shows are as before, and movers change as wholes.
    """
    own = maps[i]
    known = own.depth > 0
    calm = np.where(known, 1 - own.dynamic, 0).astype(np.float32)
    pull, total = np.zeros_like(own.depth), np.ones_like(own.depth)
    for j in (i + offset for offset in OFFSETS):
        if j not in maps:
            continue
        off, say = _seen_from(own, maps[j], np.linalg.inv(c2w[j]) @ c2w[i], lenses[i], lenses[j])
        say *= calm
        pull += say * off
        total += say
    pull = pull / total
    movers = dynamic.groups(known & (own.dynamic > dynamic.MOVES))
    moving = {j: moving_depth(maps[j]) for j in (i, *(i + offset for offset in OFFSETS)) if j in maps} if movers else {}
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


def _seen_from(own: DepthFrame, other: DepthFrame, relative: np.ndarray, lens: Intrinsics, lens_other: Intrinsics):
    """By how much (h, w) log depth is larger in another frame's map, and how much that counts, 0..1."""
    h, w = own.depth.shape
    # Rays of all pixels turned into the other camera, a row and a column at a time.
    R, t = relative[:3, :3], relative[:3, 3].astype(np.float32)
    x = (np.arange(w) + 0.5 - lens.cx) / lens.fx
    y = (np.arange(h) + 0.5 - lens.cy) / lens.fy
    p = [(R[k, 0] * x + R[k, 2])[None].astype(np.float32) + (R[k, 1] * y)[:, None].astype(np.float32) for k in range(3)]
    z = p[2] * own.depth + t[2]
    ahead = z > 1e-6 * np.abs(own.depth)
    over = 1 / np.where(ahead, z, 1)
    u = (p[0] * own.depth + t[0]) * over * np.float32(lens_other.fx) + np.float32(lens_other.cx)
    v = (p[1] * own.depth + t[1]) * over * np.float32(lens_other.fy) + np.float32(lens_other.cy)
    ahead &= (u > 0) & (v > 0) & (u < w) & (v < h)
    inverse = np.where(other.depth > 0, 1 / np.maximum(other.depth, 1e-12), 0).astype(np.float32)
    there = np.dstack([inverse, np.where(_at_edge(inverse), 1, other.dynamic)])
    there = cv2.remap(there.astype(np.float32), u - 0.5, v - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    ahead &= there[..., 0] > 0
    off = -np.log(np.where(ahead, there[..., 0] * z, 1))
    say = np.where(ahead, np.clip(1 - there[..., 1], 0, 1), 0) / (1 + (off / TOLERANCE) ** 2) ** 2
    return off, say.astype(np.float32)


def _at_edge(inverse: np.ndarray) -> np.ndarray:
    """Where inverse depth (h, w) jumps between neighbouring pixels: a blend of both sides is neither."""
    around = np.ones((3, 3), np.uint8)
    high, low = cv2.dilate(inverse, around), cv2.erode(inverse, around)
    return high - low > EDGE * high
