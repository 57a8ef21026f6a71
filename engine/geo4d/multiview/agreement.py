"""Scale and shift of inverse depth, a frame, that make predicted depth agree with the refined cameras' own points."""

from dataclasses import dataclass

import numpy as np

from ..matchmove.depth_guide import sample_depth
from ..matchmove.solve import Solve
from ..matchmove.triangulation import triangulation_angles
from ..tracking.tracks import Tracks

LEAST_POINTS = 20  # of a frame that fix its correction
MIN_ANGLE_DEG = 0.5  # of a point's rays, for its depth to be worth anything
SMOOTH = np.array([0.25, 0.5, 0.25])  # over frames
_USUAL_SHIFT = 0.1  # of the median inverse depth
_ALIKE = 10.0  # points whose errors are alike, as those of neighbours are: they count as one
_LEAST_ERROR = 0.01  # of depth, of predicted depth at a point
_ROUNDS = 10
_NEARLY_FLAT = 0.5  # the most that a shift may take away from a pixel's inverse depth


@dataclass
class DepthCorrection:
    """``1 / depth = scale / predicted + shift`` of each of F frames."""

    scale: np.ndarray  # (F,)
    shift: np.ndarray  # (F,) in inverse world units

    def apply(self, depth: np.ndarray, position: int) -> np.ndarray:
        """Depth (h, w) float32 of a frame, 0 = none, corrected; what is far stays finite and ahead."""
        inverse = np.float32(self.scale[position]) / np.where(depth > 0, depth, np.float32(1.0))
        shifted = np.maximum(inverse + np.float32(self.shift[position]), np.float32(_NEARLY_FLAT) * inverse)
        return np.where(depth > 0, 1 / shifted, np.float32(0.0)).astype(np.float32)


def correct_depth(maps, solve: Solve, tracks: Tracks) -> DepthCorrection:
    """Correction of each frame's depth; none where no frame has enough static points.

    ``maps`` has ``frame(i) -> DepthFrame``; ``solve`` and the points of ``tracks`` are refined. Robust least squares
    on inverse depth, in which a network errs by a scale and a shift. A shift has to be earned: points of about one
    depth cannot tell it from the scale and leave it at 0. Both are smoothed over time; frames with few points take
    their neighbours'.
    """
    f = tracks.frame
    z, _ = sample_depth(tracks, solve, maps)
    true, good = trusted_points(solve, tracks)
    rows = np.flatnonzero(good & (z > 0))
    rows = rows[np.argsort(f[rows], kind="stable")]
    bounds = np.searchsorted(f[rows], np.arange(len(solve) + 1))
    known = np.flatnonzero(np.diff(bounds) >= LEAST_POINTS)
    if not len(known):
        return DepthCorrection(np.ones(len(solve)), np.zeros(len(solve)))
    fits = np.array([fit_inverse(z[r], true[r]) for r in (rows[bounds[i] : bounds[i + 1]] for i in known)])
    scale, shift = (np.interp(np.arange(len(solve)), known, column) for column in (np.log(fits[:, 0]), fits[:, 1]))
    return DepthCorrection(np.exp(_smooth(scale)), _smooth(shift))


def trusted_points(solve: Solve, tracks: Tracks) -> tuple[np.ndarray, np.ndarray]:
    """Z-depth (M,) of each observation's point, and which (M,) bool are static and seen from places apart."""
    t, f = tracks.track, tracks.frame
    angle = np.nan_to_num(triangulation_angles(tracks.xyz, t, f, solve.c2w))
    centre, axis = solve.c2w[f, :3, 3], solve.c2w[f, :3, 2]
    true = np.einsum("mi,mi->m", tracks.xyz[t] - centre, axis)
    good = tracks.static[t] & (angle[t] > MIN_ANGLE_DEG) & (true > 0)
    if solve.motion != "moving":  # points there hang at the maps' own depth
        good[:] = False
    return true, good


def fit_inverse(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Scale a and shift b with ``1 / true = a / predicted + b`` (N,), robustly; b as far as the points show it.

    Errors are relative to depth and the prediction's: it is fitted to the points, not the points to it, as errors of
    what a line is fitted by would flatten it. Starts at the median ratio without a shift.
    """
    unit = float(np.median(1 / true))
    x, y = 1 / (unit * true), 1 / (unit * predicted)
    start = float(np.median(y / x))
    slope, offset = start, 0.0
    for step in range(2 * _ROUNDS):
        fitted = np.maximum(slope * x + offset, 0.1 * slope * x)
        off = y / fitted - 1
        error = max(1.48 * float(np.median(np.abs(off))), _LEAST_ERROR)
        w = 1 / (fitted**2 * (1 + (off / (2 * error)) ** 2))
        # What the line leaves is known once it was free to follow the points.
        usual = _ALIKE * (error / (_USUAL_SHIFT * start)) ** 2 if step >= _ROUNDS else 1e-6
        H = np.array([[(w * x * x).sum(), (w * x).sum()], [(w * x).sum(), w.sum() + usual]])
        slope, offset = np.linalg.solve(H, [(w * x * y).sum(), (w * y).sum()])
    if not (np.isfinite([slope, offset]).all() and 0.5 * start < slope < 2 * start):
        slope, offset = start, 0.0
    return float(1 / slope), float(-offset / slope) * unit


def _smooth(values: np.ndarray) -> np.ndarray:
    return np.convolve(np.concatenate([values[:1], values, values[-1:]]), SMOOTH, mode="valid")
