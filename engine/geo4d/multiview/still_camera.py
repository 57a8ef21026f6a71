"""What moves before a camera that does not travel: flow, where the picture has changed as well.

Dense flow smears a mover's motion into plain walls around it. With the camera's turn taken out a pixel that shows
the static scene looks as it did a moment before, and as it does most of the time; flow alone is not believed there.
The second comparison fills movers of one colour, whose inside changes little from frame to frame.
"""

import cv2
import numpy as np

from . import dynamic
from .fill import Guide
from .flow import DenseFlow, turned
from .neighbours import short_gap
from .working_frames import WorkingFrames

USUAL_SPAN_S = 3.0  # before and after a frame, over which the usual look of a pixel is found
USUAL_GAP_S = 0.15  # frames nearer than that show a mover in the same place
USUAL_FRAMES = 12  # looked at, spread over the span
_LEAST_FRAMES = 3
_SURROUNDINGS_PX = 2.0  # of the blur over which a change is summed up
_GREY_LEVELS = 1.0  # of noise that any picture has
# Standard deviations of flow that are believed for each of change beyond the first.
_BELIEVED_PER_CHANGE = 2.0


def moving_probability(frames: WorkingFrames, times: np.ndarray, i: int, flow: DenseFlow) -> np.ndarray:
    """Probability 0..1 (h, w) float32 that a pixel of frame i moves in the world.

    ``times`` (F,) are seconds. The shot's cameras share one centre, and differ in orientation at most.
    """
    w, h = frames.size
    score, believed = np.zeros((2, h, w), dtype=np.float32)
    unusual = _change_from_usual(frames, times, i)
    for j in short_gap(times, i):
        match = flow.match(frames, i, j)
        trust = match.trust()
        length = np.hypot(match.flow[..., 0], match.flow[..., 1])
        noise = dynamic.own_noise(length, trust)
        image, inside = turned(frames, i, j)
        change = np.maximum(_change(frames.gray(i), image, inside > 0), unusual)
        moved = length / np.sqrt(dynamic.MIN_SIGMA_PX**2 + noise**2)
        score += trust * np.minimum(moved, _BELIEVED_PER_CHANGE * np.maximum(change - 1, 0))
        believed += trust
    p = dynamic.probability(score / np.maximum(believed, 1e-6), believed, Guide.of(frames.rgb[i]))
    return np.clip(p, 0, 1).astype(np.float32)


def _change_from_usual(frames: WorkingFrames, times: np.ndarray, i: int) -> np.ndarray:
    """Change (h, w) of frame i against the median of frames around it; 0 where too few show the place."""
    away = np.abs(times - times[i])
    around = np.flatnonzero((away <= USUAL_SPAN_S) & (away > USUAL_GAP_S))
    if len(around) < _LEAST_FRAMES:
        return np.zeros(frames.size[::-1], dtype=np.float32)
    around = around[np.unique(np.linspace(0, len(around) - 1, USUAL_FRAMES).round().astype(int))]
    seen = [turned(frames, i, int(j)) for j in around]
    inside = np.stack([mask > 0 for _, mask in seen])
    # Unseen places are sorted to the end, so that the median of the others is at half their number.
    looks = np.sort(np.where(inside, np.stack([image for image, _ in seen]), 255 + np.zeros(1, np.int16)), axis=0)
    count = inside.sum(axis=0)
    middle = np.maximum(count - 1, 0)
    low, high = (np.take_along_axis(looks, m[None] // 2, axis=0)[0] for m in (middle, middle + 1))
    return _change(frames.gray(i), (low + high) / 2, count >= _LEAST_FRAMES)


def _change(image: np.ndarray, other: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Difference (h, w) of two pictures around each pixel, in standard deviations of the pictures' noise."""
    if not inside.any():
        return np.zeros(image.shape, dtype=np.float32)
    off = image.astype(np.float32) - other.astype(np.float32)
    off -= np.median(off[inside])
    variance = (1.48 * float(np.median(np.abs(off[inside])))) ** 2 + _GREY_LEVELS**2
    return np.sqrt(cv2.GaussianBlur(np.where(inside, off * off, 0), (0, 0), _SURROUNDINGS_PX) / variance)
