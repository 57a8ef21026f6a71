"""The last word of the pictures: depth nudged to where neighbouring frames look alike, pixel by pixel.

The network works at a coarse grid and from evidence that was averaged; edges come out a few pixels wide and plain
surfaces a few percent off. Here every pixel is offered its own depth, small steps from it, and the nearest and
farthest depth around it, and what most resembles its neighbours' pictures gets the most say (as in the plane sweep of
Collins 1996 and the propagation of PatchMatch stereo, Bleyer et al. 2011). Shares, not a choice: where pictures cannot
tell, all are nearly equal and nothing changes.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from . import dynamic
from .depth_frame import DepthFrame
from .fill import Guide, spread
from .working_frames import WorkingFrames, seen_from

STEPS = (0.02, 0.05, 0.1)  # of log depth, nearer and farther
AROUND_PX = (5, 9)  # widths of the neighbourhoods whose nearest and farthest depth is offered
WINDOW_PX = 5  # side of the window that pictures are compared in
NOISE = 6.0  # variance in squared grey levels below which a window says nothing
REACH_PX = 30.0  # how far likeness is shared between pixels of one colour
OWN = 0.02  # by how much another depth has to be more alike than the pixel's own
TEMPERATURE = 0.01  # difference of likeness that makes shares differ e-fold


def fine_sweep(i: int, frame: DepthFrame, frames: WorkingFrames, neighbours: list[int]) -> DepthFrame:
    """A map of frame i, its static pixels moved to where ``neighbours`` (indices of frames) confirm them.

    What moves stays as it is: its neighbours' pictures show it elsewhere.
    """
    if not neighbours or not (frame.depth > 0).all():
        return frame
    offered = _offered(frame.depth)
    alike = _likeness(i, offered, frames, neighbours)
    h, w = frame.depth.shape
    h2, w2 = (h + 1) // 2, (w + 1) // 2
    halves = np.dstack([cv2.resize(layer, (w2, h2), interpolation=cv2.INTER_AREA) for layer in alike])
    likeness = spread(halves, Guide.of(frames.rgb[i]).halved, REACH_PX / 2)
    likeness[..., 1:] -= OWN
    shares = np.exp((likeness - likeness.max(axis=2, keepdims=True)) / TEMPERATURE)
    shares /= shares.sum(axis=2, keepdims=True)
    shares = cv2.resize(shares, (w, h), interpolation=cv2.INTER_LINEAR)
    ratio = np.log(np.stack(offered[1:], axis=2) / frame.depth[..., None])
    shift = (shares[..., 1:] * ratio).sum(axis=2) * np.clip(1 - frame.dynamic / dynamic.MOVES, 0, 1)
    return DepthFrame((frame.depth * np.exp(shift)).astype(np.float32), frame.confidence, frame.dynamic)


def _offered(depth: np.ndarray) -> list[np.ndarray]:
    """Depths (h, w) that each pixel may have, its own first."""
    kernels = [cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)) for width in AROUND_PX]
    around = [way(depth, kernel) for kernel in kernels for way in (cv2.erode, cv2.dilate)]
    return [depth, *around, *(depth * np.float32(np.exp(sign * step)) for step in STEPS for sign in (-1, 1))]


def _likeness(i: int, offered: list[np.ndarray], frames: WorkingFrames, neighbours: list[int]) -> list[np.ndarray]:
    """How alike frame i and its neighbours look at each of the offered depths, -1..1, (h, w) each.

    Normalised cross-correlation, its mean over the neighbours before or over those after frame i, whichever agree
    better: what one side cannot see the other often can.
    """
    own = _Own.of(frames.gray(i))
    scratch = _Scratch(own.picture.shape)
    sides = []
    for side in ([j for j in neighbours if j < i], [j for j in neighbours if j > i]):
        views = [_View.of(frames, i, j) for j in side]
        if views:
            sides.append([_mean_likeness(own, depth, views, scratch) for depth in offered])
    return [np.maximum.reduce(layers) for layers in zip(*sides, strict=True)]


@dataclass
class _Own:
    """Frame i's picture with mean and variance of the window around each pixel (h, w)."""

    picture: np.ndarray  # uint8
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray) -> "_Own":
        mean = _window_mean(picture)
        return cls(picture, mean, np.maximum(_window_mean_square(picture) - mean * mean, 0) + np.float32(NOISE))


@dataclass
class _View:
    """A neighbour's picture, and where pixels of frame i fall in it: ``turned * depth + offset``, over its z."""

    picture: np.ndarray  # (h, w) uint8
    turned: list[np.ndarray]  # x, y, z (h, w) float32
    offset: np.ndarray  # (3,) float32

    @classmethod
    def of(cls, frames: WorkingFrames, i: int, j: int) -> "_View":
        turned, offset = seen_from(frames, i, j)
        return cls(frames.gray(j), list(turned), offset)


class _Scratch:
    """Arrays (h, w) that are used again and again: asking for fresh memory would take longer than the sums."""

    def __init__(self, shape: tuple[int, int]):
        self.u, self.v, self.z, self.mean, self.square, self.cross = (np.empty(shape, np.float32) for _ in range(6))
        self.picture, self.product = np.empty(shape, np.uint8), np.empty(shape, np.uint16)


def _mean_likeness(own: _Own, depth: np.ndarray, views: list[_View], scratch: _Scratch) -> np.ndarray:
    """Mean correlation (h, w) with the views that show a pixel at ``depth``, -1 where none does."""
    h, w = depth.shape
    s = scratch
    total, count = np.zeros_like(depth), np.zeros_like(depth)
    for view in views:
        for out, turned, offset in zip((s.u, s.v, s.z), view.turned, view.offset, strict=True):
            np.multiply(turned, depth, out=out)
            out += offset
        seen = s.z > 0
        np.maximum(s.z, 1e-9, out=s.z)
        s.u /= s.z
        s.v /= s.z
        seen &= (s.u > 0) & (s.v > 0) & (s.u < w - 1) & (s.v < h - 1)
        cv2.remap(view.picture, s.u, s.v, cv2.INTER_LINEAR, dst=s.picture, borderMode=cv2.BORDER_REPLICATE)
        _window_mean(s.picture, s.mean)
        _window_mean_square(s.picture, s.square)
        cv2.multiply(own.picture, s.picture, dst=s.product, dtype=cv2.CV_16U)
        _window_mean(s.product, s.cross)
        # cross - mean mean', over the root of both variances
        np.multiply(own.mean, s.mean, out=s.u)
        s.cross -= s.u
        s.mean *= s.mean
        s.square -= s.mean
        np.maximum(s.square, 0, out=s.square)
        s.square += np.float32(NOISE)
        s.square *= own.variance
        np.sqrt(s.square, out=s.square)
        s.cross /= s.square
        s.cross *= seen
        total += s.cross
        count += seen
    unseen = count == 0
    np.maximum(count, 1, out=count)
    total /= count
    total[unseen] = -1
    return total


def _window_mean(picture: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    return cv2.boxFilter(picture, cv2.CV_32F, (WINDOW_PX, WINDOW_PX), dst=out, borderType=cv2.BORDER_REFLECT)


def _window_mean_square(picture: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    return cv2.sqrBoxFilter(picture, cv2.CV_32F, (WINDOW_PX, WINDOW_PX), dst=out, borderType=cv2.BORDER_REFLECT)
