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
    h, w = frame.depth.shape
    around, steps = _around(frame.depth), [sign * step for step in STEPS for sign in (-1, 1)]
    offered = [frame.depth, *around, *(frame.depth * np.float32(np.exp(step)) for step in steps)]
    alike = np.dstack(_likeness(i, offered, frames, neighbours))
    likeness = spread(alike, Guide.of(frames.rgb[i]).halved, REACH_PX / 2)
    likeness[..., 1:] -= OWN
    shares = np.exp((likeness - likeness.max(axis=2, keepdims=True)) / TEMPERATURE)
    shares /= shares.sum(axis=2, keepdims=True)
    # How far the steps go is the same for all pixels, unlike how far it is to what is around.
    first = 1 + len(around)
    stepped = shares[..., first:] @ np.float32(steps)
    *shares, shift = cv2.split(cv2.resize(np.dstack([shares[..., 1:first], stepped]), (w, h)))
    for layer, share in zip(around, shares, strict=True):
        shift += share * cv2.log(layer / frame.depth)
    shift *= np.clip(1 - frame.dynamic / dynamic.MOVES, 0, 1)
    return DepthFrame((frame.depth * np.exp(shift)).astype(np.float32), frame.confidence, frame.dynamic)


def _around(depth: np.ndarray) -> list[np.ndarray]:
    """Nearest and farthest depth (h, w) around each pixel."""
    kernels = [cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)) for width in AROUND_PX]
    return [way(depth, kernel) for kernel in kernels for way in (cv2.erode, cv2.dilate)]


def _halved(layer: np.ndarray) -> np.ndarray:
    """Means (h / 2, w / 2) of 2 x 2 pixels; of an odd number of lines the last pair is a bit wider."""
    h, w = layer.shape
    return cv2.resize(layer, ((w + 1) // 2, (h + 1) // 2), interpolation=cv2.INTER_AREA)


def _likeness(i: int, offered: list[np.ndarray], frames: WorkingFrames, neighbours: list[int]) -> list[np.ndarray]:
    """How alike frame i and its neighbours look at each of the offered depths, -1..1, (h / 2, w / 2) each.

    Normalised cross-correlation, its mean over the neighbours before or over those after frame i, whichever agree
    better: what one side cannot see the other often can. Pictures are sampled at all pixels and compared at every
    second.
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
    """Frame i's picture (h, w) with mean and variance of the windows around every second pixel (h / 2, w / 2)."""

    picture: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, gray: np.ndarray) -> "_Own":
        picture = gray.astype(np.float32)
        mean = _window_mean(picture)
        return cls(picture, mean, np.maximum(_window_mean(picture * picture) - mean * mean, 0) + np.float32(NOISE))


@dataclass
class _View:
    """A neighbour's picture, and where frame i's pixels fall in it.

    A pixel at infinite depth is at ``far``; at another it is ``parallax / z`` from there, with the depth z that it has
    for the neighbour, ``depth * turned + ahead``.
    """

    picture: np.ndarray  # (h, w) float32
    far: list[np.ndarray]  # x, y (h, w) float32
    parallax: list[np.ndarray]  # x, y (h, w) float32
    turned: np.ndarray  # (h, w) float32
    ahead: np.float32

    @classmethod
    def of(cls, frames: WorkingFrames, i: int, j: int) -> "_View":
        (x, y, z), offset = seen_from(frames, i, j)
        turned = np.where(np.abs(z) < 1e-3, np.float32(1e-3), z)  # across the neighbour's axis: out of its sight
        far = [x / turned, y / turned]
        parallax = [offset[k] - offset[2] * far[k] for k in range(2)]
        return cls(frames.gray(j).astype(np.float32), far, parallax, turned, offset[2])


class _Scratch:
    """Arrays that are used again and again: asking for fresh memory would take longer than the sums."""

    def __init__(self, shape: tuple[int, int]):
        self.u, self.v, self.z, self.picture, self.product = (np.empty(shape, np.float32) for _ in range(5))


def _mean_likeness(own: _Own, depth: np.ndarray, views: list[_View], scratch: _Scratch) -> np.ndarray:
    """Mean correlation (h / 2, w / 2) with the views that show a pixel at ``depth`` (h, w), -1 where none does."""
    h, w = depth.shape
    s = scratch
    total, count = np.zeros_like(own.mean), np.zeros_like(own.mean)
    for view in views:
        np.multiply(view.turned, depth, out=s.z)
        s.z += view.ahead
        np.maximum(s.z, 1e-9, out=s.z)
        for out, far, parallax in zip((s.u, s.v), view.far, view.parallax, strict=True):
            np.divide(parallax, s.z, out=out)
            out += far
        u, v, z = (values[::2, ::2] for values in (s.u, s.v, s.z))
        seen = (z > 1e-9) & (u > 0) & (v > 0) & (u < w - 1) & (v < h - 1)
        cv2.remap(view.picture, s.u, s.v, cv2.INTER_LINEAR, dst=s.picture, borderMode=cv2.BORDER_REPLICATE)
        mean = _window_mean(s.picture)
        square = _window_mean(np.multiply(s.picture, s.picture, out=s.product))
        alike = _window_mean(np.multiply(s.picture, own.picture, out=s.product))
        # The mean of products less the product of means, over the root of both variances.
        alike -= own.mean * mean
        mean *= mean
        square -= mean
        np.maximum(square, 0, out=square)
        square += np.float32(NOISE)
        square *= own.variance
        alike /= np.sqrt(square, out=square)
        alike *= seen
        total += alike
        count += seen
    unseen = count == 0
    np.maximum(count, 1, out=count)
    total /= count
    total[unseen] = -1
    return total


def _window_mean(picture: np.ndarray) -> np.ndarray:
    """Means (h / 2, w / 2) over the windows around every second pixel: six pixels wide, the middle counting most."""
    return cv2.GaussianBlur(_halved(picture), (3, 3), 0, borderType=cv2.BORDER_REFLECT)
