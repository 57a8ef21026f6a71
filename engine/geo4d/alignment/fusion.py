"""Depth of every pixel from all windows and modalities that saw it, given cameras; one window in memory at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..models.prediction import Prediction
from ..progress import Progress
from .disparity import DisparityFits
from .evidence import WindowMaps, window_maps, within
from .registration import World
from .residuals import Spreads
from .samples import Samples

_FARTHEST = 6e4  # half precision ends there; the world's median depth is 1
_NEAREST = 1e-3
_LOOSE = 0.1  # relative uncertainty at which a depth deserves half the confidence
_ASKEW = 0.03  # slope by which points are off their rays at which they deserve half the confidence
_BLOCK = 8192  # pixels at a time, which stay in the processor's cache
_WIDTH = 2.0  # of the Cauchy loss, in spreads
_CONTRADICTS = 4.0  # times their own spread, by which a pixel is off those around it
_NEIGHBOURS = 1.5  # candidates that the pixels around are worth: more than one, less than two that agree,
_STRAYS = 0.02  # where windows contradict each other in at least this share of pixels


@dataclass
class Maps:
    """Maps of F frames, float16."""

    depth: np.ndarray  # (F, h, w), 0 = none
    confidence: np.ndarray
    dynamic: np.ndarray  # what the model predicted, 0 where it predicted nothing


class _Frame:
    """What windows have said of one frame so far: C candidates of P pixels."""

    def __init__(self):
        self.log_depth: list[np.ndarray] = []
        self.information: list[np.ndarray] = []  # inverse variance of the log depth, 0 = none
        self.inverse_spread: list[float] = []  # of candidates from disparity, of inverse depth; 0 of the others
        self.sureness: list[np.ndarray] = []  # the network's own, of point candidates
        self.dynamic: list[np.ndarray] = []


def fuse(
    predictions: Sequence[Prediction],
    samples: Samples,
    world: World,
    spreads: Spreads,
    fits: DisparityFits | None,
    progress: Progress,
) -> Maps:
    """Maps of all frames; each window that takes part is read once."""
    F, w, h = len(samples), samples.width, samples.height
    maps = Maps(*(np.zeros((F, h, w), dtype=np.float16) for _ in range(3)))
    pending = np.array([sum(world.ok[g] for g in row if g >= 0) for row in samples.window])
    waiting: dict[int, _Frame] = {}
    reliable = 1 / (1 + (spreads.lateral / _ASKEW) ** 2)  # shapes that fit no camera are no shapes
    y, x = (m.ravel() for m in np.indices((h, w)))
    xy = samples.picture.positions(y, x, h, w)
    for g in range(len(predictions)):
        if world.ok[g]:
            prediction = within(predictions[g], F)
            pick = (y * prediction.height // h, x * prediction.width // w)
            same = (prediction.width, prediction.height) == (w, h)
            window = window_maps(
                prediction, samples.picture, samples.cameras[g], samples.known_focal, None if same else pick
            )
            for t, f in enumerate(np.asarray(prediction.positions).tolist()):
                _candidates(waiting.setdefault(f, _Frame()), window, t, g, f, world, xy, spreads, fits)
                pending[f] -= 1
                if not pending[f]:
                    maps.depth[f], confidence, maps.dynamic[f] = _decide(waiting.pop(f), (h, w), spreads)
                    maps.confidence[f] = reliable * confidence
        progress.advance("align", len(predictions) + g + 1, 2 * len(predictions))
    return maps


def _candidates(
    frame: _Frame,
    window: WindowMaps,
    t: int,
    g: int,
    f: int,
    world: World,
    xy: np.ndarray,
    spreads: Spreads,
    fits: DisparityFits | None,
) -> None:
    """Add what window g says of frame f, its t-th."""
    w2c = world.R[f].T
    A = (world.scale[g] * w2c @ world.rotation[g]).astype(np.float32)
    b = (w2c @ (world.shift[g] - world.c[f])).astype(np.float32)
    Y = window.points[t] @ A.T + b
    said = (window.weight[t] > 0) & (Y[:, 2] > _NEAREST) & (Y[:, 2] < _FARTHEST)
    z = np.where(said, Y[:, 2], np.float32(1.0))
    off = Y[:, :2] / z[:, None] - xy / np.float32(world.focal[f])
    off = (off * off).sum(1) / np.float32((3 * spreads.lateral) ** 2)
    frame.log_depth.append(np.log(z))
    frame.information.append(
        np.where(said, window.weight[t] / (1 + off) / np.float32(spreads.depth**2), np.float32(0.0))
    )
    frame.inverse_spread.append(0.0)
    frame.sureness.append(window.weight[t])
    if window.dynamic is not None:
        frame.dynamic.append(window.dynamic[t])
    if fits is not None and fits.ok[g] and window.disparity is not None:
        D = window.disparity[t]
        inverse = np.float32(fits.scale[g]) * D + np.float32(fits.shift[g])
        said = (D > 0) & (inverse > 1 / _FARTHEST) & (inverse < 1 / _NEAREST)
        inverse = np.where(said, inverse, np.float32(1.0))
        frame.log_depth.append(-np.log(inverse))
        frame.information.append(said.astype(np.float32))
        frame.inverse_spread.append(float(fits.spread))


def _decide(frame: _Frame, shape: tuple[int, int], spreads: Spreads) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth (0 = none), confidence and predicted motion (h, w) of a frame from all its candidates."""
    sureness = np.minimum(np.mean(frame.sureness, axis=0), 1)
    log_depth, information = np.stack(frame.log_depth), np.stack(frame.information)
    middle, trust = np.empty_like(sureness), np.empty_like(sureness)
    for start in range(0, len(sureness), _BLOCK):
        part = slice(start, start + _BLOCK)
        own = np.ascontiguousarray(information[:, part])
        weigh_disparity(log_depth[:, part], own, frame.inverse_spread)
        information[:, part] = own
        middle[part], trust[part] = _fused(log_depth[:, part], own)
    around, uncertain, doubt = _neighbourhood(middle.reshape(shape), (trust > 0).reshape(shape), spreads.depth)
    # Where windows hardly err, what stands out alone is real.
    worth = np.float32(_NEIGHBOURS * min(1.0, spreads.strays / _STRAYS))
    for start in range(0, len(doubt), _BLOCK):
        part = doubt[start : start + _BLOCK]
        middle[part], trust[part] = _fused(
            log_depth[:, part],
            information[:, part],
            around[part],
            worth / uncertain[part] ** 2,
        )
    depth = np.where(trust > 0, np.exp(middle), np.float32(0.0))
    dynamic = np.mean(frame.dynamic, axis=0) if frame.dynamic else np.zeros_like(depth)
    confidence = np.clip(np.sqrt(sureness) * trust, 0, 1)
    return depth.reshape(shape), confidence.reshape(shape), dynamic.reshape(shape)


def _neighbourhood(log_depth: np.ndarray, known: np.ndarray, spread: float) -> tuple[np.ndarray, ...]:
    """What the pixels around say of each (h, w): their median (P,), its spread, and which pixels it contradicts.

    Networks and windows err in single pixels as no surface does. Where the surroundings are rough themselves, or a
    part of them is unknown, they say nothing.
    """
    around = cv2.medianBlur(log_depth, 3)
    off = np.abs(log_depth - around)
    uncertain = np.maximum(cv2.medianBlur(off, 5), np.float32(spread))
    whole = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return around.ravel(), uncertain.ravel(), np.flatnonzero(whole & (off > _CONTRADICTS * uncertain))


def weigh_disparity(log_depth: np.ndarray, information: np.ndarray, inverse_spread: list[float]) -> None:
    """Turn the 1 of candidates (C, P) that come from disparity into their inverse variance, in place.

    A spread of inverse depth is one of log depth that grows with distance: the distance in the middle of all
    candidates, or one that is wrongly near would count for more than those that are right.
    """
    from_disparity = np.array(inverse_spread) > 0
    if not from_disparity.any():
        return
    ordered = np.sort(np.where(information > 0, log_depth, np.float32(np.inf)), axis=0)
    at = np.maximum((information > 0).sum(0) - 1, 0) // 2
    middle = np.take_along_axis(ordered, at[None], axis=0)[0]
    depth2 = np.exp(2 * np.where(np.isfinite(middle), middle, np.float32(0.0)))
    for c in np.flatnonzero(from_disparity):
        information[c] /= np.float32(inverse_spread[c] ** 2) * depth2 + np.float32(1e-6)


def _fused(
    log_depth: np.ndarray,
    information: np.ndarray,
    around: np.ndarray | None = None,
    around_information: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Log depth (P,) and how far C candidates (C, P) are to be trusted, from that which most of them support.

    What the pixels ``around`` say (P,) is one candidate more, which lends no trust. Trust is 0 where there is no depth.
    """
    count = (information > 0).sum(0)
    known = 2 * count >= len(log_depth)
    candidates, weights = log_depth, information
    if around is not None:
        candidates, weights = np.vstack([log_depth, around]), np.vstack([information, around_information])
    middle, most = candidates[0].copy(), np.zeros_like(candidates[0])
    for candidate, own in zip(candidates, weights, strict=True):
        # A candidate is worth what the others, and it itself, say for it; where two disagree, the surer one wins.
        support = (weights / (1 + (candidates - candidate) ** 2 * weights / np.float32(_WIDTH**2))).sum(0)
        better = (own > 0) & (support > most)
        middle, most = np.where(better, candidate, middle), np.where(better, support, most)
    for _ in range(2):
        agreed = weights / (1 + (candidates - middle) ** 2 * weights / np.float32(_WIDTH**2))
        total = np.maximum(agreed.sum(0), np.float32(1e-12))
        middle = np.where(count > 0, (agreed * candidates).sum(0) / total, np.float32(0.0))
    if around is not None:
        agreed = agreed[:-1]
        total = np.maximum(agreed.sum(0), np.float32(1e-12))
    # Spread of those that agree, at least what they claim of themselves.
    variance = (agreed * (log_depth - middle) ** 2).sum(0) / total + 1 / total
    agreement = total / np.maximum(information.sum(0), np.float32(1e-12))
    trust = agreement * (count / np.float32(len(log_depth))) / (1 + variance / np.float32(_LOOSE**2))
    return middle, np.where(known, trust, np.float32(0.0))
