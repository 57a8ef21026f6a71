"""One factor a frame that makes predicted depth agree with the refined cameras' own points."""

import numpy as np

from ..matchmove.depth_guide import sample_depth
from ..matchmove.solve import Solve
from ..matchmove.triangulation import triangulation_angles
from ..tracking.tracks import Tracks

LEAST_POINTS = 20  # of a frame that fix its factor
MIN_ANGLE_DEG = 0.5  # of a point's rays, for its depth to be worth anything
SMOOTH = np.array([0.25, 0.5, 0.25])  # over frames, on log factors


def depth_factors(maps, solve: Solve, tracks: Tracks) -> np.ndarray:
    """Factors (F,) for the depth of each frame; 1 everywhere where no frame has enough static points.

    ``maps`` has ``frame(i) -> DepthFrame``; ``solve`` and the points of ``tracks`` are refined. A frame's factor is
    the median ratio of its points' depth to that of the maps, smoothed over time; frames with few points take their
    neighbours'.
    """
    t, f = tracks.track, tracks.frame
    z, _ = sample_depth(tracks, solve, maps)
    angle = np.nan_to_num(triangulation_angles(tracks.xyz, t, f, solve.c2w))
    centre, axis = solve.c2w[f, :3, 3], solve.c2w[f, :3, 2]
    true = np.einsum("mi,mi->m", tracks.xyz[t] - centre, axis)
    rows = tracks.static[t] & (angle[t] > MIN_ANGLE_DEG) & (z > 0) & (true > 0)
    if solve.motion != "moving":  # points there hang at the maps' own depth
        rows[:] = False
    log_ratio = np.log(true[rows] / z[rows])
    order = np.argsort(f[rows], kind="stable")
    bounds = np.searchsorted(f[rows][order], np.arange(len(solve) + 1))
    known = np.flatnonzero(np.diff(bounds) >= LEAST_POINTS)
    if not len(known):
        return np.ones(len(solve))
    median = [np.median(log_ratio[order[bounds[i] : bounds[i + 1]]]) for i in known]
    whole = np.interp(np.arange(len(solve)), known, median)
    padded = np.concatenate([whole[:1], whole, whole[-1:]])
    return np.exp(np.convolve(padded, SMOOTH, mode="valid"))
