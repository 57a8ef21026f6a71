"""Depth of windows whose model saw near and far, but not how the camera went.

Aligning such windows by their own cameras makes them contradict each other and evens their depth out. Here each is
held against the tracks' points through the cameras that the tracks solved, and the windows of a frame are averaged.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..alignment.disparity import scale_and_shift
from ..matchmove.depth_guide import sample_depth
from ..matchmove.solve import Solve
from ..models.prediction import Prediction
from ..tracking.tracks import Tracks
from .agreement import LEAST_POINTS, trusted_points
from .depth_frame import DepthFrame
from .network import confidence_of
from .predicted import DepthMaps

_IN_MEMORY = 8  # windows
_BEYOND = 2.0  # how much nearer and farther than a window's points its depth may be
_STEEPEST = 1.5  # of the fit, against a scale without shift: contrast is not to be enlarged by few points
_LEAST_ERROR = 0.01


class WindowDepth:
    """Maps of every frame in the filmed picture and ``solve``'s world, from windows each brought to the points.

    Inverse depth of a window is ``scale * predicted + shift`` with the least relative error at the points: what a
    model does not know is evened out, not enlarged. A window with too few points takes those of the windows beside
    it. Confidence is that of the error left at the points. ``motion`` has the maps of what moves.
    """

    def __init__(self, windows: Sequence[Prediction], solve: Solve, tracks: Tracks, motion: DepthMaps):
        self._windows, self._motion = windows, motion
        self._cached = lru_cache(_IN_MEMORY)(self._read)
        true, good = trusted_points(solve, tracks)
        fits, self._holding = [], {}
        for number in range(len(windows)):
            positions, inverse = self._cached(number)
            for slot, position in enumerate(positions.tolist()):
                self._holding.setdefault(position, []).append((number, slot))
            fits.append(_fit(positions, inverse, solve, tracks, true, good, motion))
        known = [number for number, fit in enumerate(fits) if fit is not None]
        self.usable = bool(known)
        if known:
            columns = np.array([fits[number] for number in known]).T
            filled = (np.interp(np.arange(len(fits)), known, column) for column in columns)
            self._scale, self._shift, self._least, self._most, self._error = filled

    def frame(self, position: int) -> DepthFrame:
        """Maps of one frame, float32; nothing where no window shows it."""
        maps = self._motion.frame(position)
        total, weight = np.zeros((2, *maps.depth.shape), dtype=np.float32)
        held = self._holding.get(position, ())
        for number, slot in held:
            inverse = self._cached(number)[1][slot]
            fitted = self._scale[number] * inverse + self._shift[number]
            fitted = np.clip(fitted, self._least[number], self._most[number]).astype(np.float32)
            say = (inverse > 0) / np.float32(self._error[number]) ** 2
            total -= say * np.log(fitted)
            weight += say
        known = weight > 0
        depth = np.where(known, np.exp(total / np.maximum(weight, 1e-12)), 0).astype(np.float32)
        error = np.mean([self._error[number] for number, _ in held] or [np.inf])
        confidence = known * np.float32(confidence_of(error))
        return DepthFrame(depth, confidence.astype(np.float32), maps.dynamic * known)

    def _read(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions (T,) and inverse depth (T, H, W) as predicted, 0 = none."""
        prediction = self._windows[number]
        return prediction.positions, inverse_depth(prediction)


def inverse_depth(prediction: Prediction) -> np.ndarray:
    """What a window says of inverse depth (T, H, W) float32, up to scale and shift; 0 = nothing.

    Depth before disparity before the z of points in the cameras that the window predicts (those of its first camera
    where it predicts none).
    """
    if prediction.depth is not None:
        z = prediction.depth
    elif prediction.disparity is not None:
        return np.maximum(np.nan_to_num(prediction.disparity, posinf=0.0), 0).astype(np.float32)
    elif prediction.points is None:
        return np.zeros((len(prediction), prediction.height, prediction.width), np.float32)
    elif prediction.c2w is None:
        z = prediction.points[..., 2]
    else:
        axis, centre = prediction.c2w[:, :3, 2], prediction.c2w[:, :3, 3]
        z = np.einsum("thwi,ti->thw", prediction.points, axis) - (centre * axis).sum(1)[:, None, None]
    return _reciprocal(z)


def _reciprocal(values: np.ndarray) -> np.ndarray:
    """1 / values, float32; 0 where they are not positive or no numbers."""
    known = np.isfinite(values) & (values > 0)
    return np.where(known, 1 / np.where(known, values, 1), 0).astype(np.float32)


def _fit(positions, inverse, solve, tracks, true, good, motion) -> tuple[float, ...] | None:
    """Of a window: scale, shift, least and most inverse depth, robust relative error; None with too few points."""
    slots = {int(position): slot for slot, position in enumerate(positions)}

    def maps(position: int) -> DepthFrame | None:
        if position not in slots:
            return None
        depth = _reciprocal(inverse[slots[position]])
        return DepthFrame(depth, np.ones_like(depth), motion.frame(position).dynamic)

    z, _ = sample_depth(tracks, solve, maps)
    rows = np.flatnonzero(good & np.isfinite(z))
    if len(rows) < LEAST_POINTS:
        return None
    x, y = 1 / z[rows], 1 / true[rows]
    # Far points that are put too near are off by their own distance at most: they must not outweigh the near ones.
    scale, shift = scale_and_shift(x, y, 1 / np.maximum(y, np.median(y)))
    steepest = _STEEPEST * float(np.median(y / x))
    if not (np.isfinite([scale, shift]).all() and 0 < scale < steepest):
        scale = steepest if scale >= steepest else 0.0
        shift = float(np.median(y - scale * x))
    least, most = np.percentile(y, [1, 99]) * (1 / _BEYOND, _BEYOND)
    off = np.abs(np.clip(scale * x + shift, least, most) / y - 1)
    return scale, shift, least, most, max(1.48 * float(np.median(off)), _LEAST_ERROR)
