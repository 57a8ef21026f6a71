"""How far the focal length of an adjusted bundle may be off: what its curvature alone is far too sure of.

Errors of tracks are alike: along a track, in one part of the picture (where the lens bends otherwise than assumed),
at one time (blur, a rolling shutter). So observations are counted in clusters: the deviation is the "sandwich" of
inverse curvature and the scatter of the clusters' scores (White, "Maximum likelihood estimation of misspecified
models", 1982; Cameron and Miller, "A practitioner's guide to cluster-robust inference", 2015, section II), the largest
of several ways to cluster. And a radial term that the tracks could not decide on is not known to be zero: it is left
open, and half of what it would move the focal length by counts as a deviation of its own.
"""

import numpy as np

from .bundle import Bundle, Freedom, linearise

CELLS = (8, 4)  # across the picture's longer side
MOMENTS = 8  # spans of time that a shot is cut into


def focal_deviation(bundle: Bundle, free: Freedom, loss_px: float) -> float:
    """Relative standard deviation of the focal length, with a zoom of its mean over time; 0 where it is held.

    ``bundle`` is adjusted with ``free``.
    """
    if not free.focal:
        return 0.0
    wide = Freedom(True, free.zoom, True)
    system = linearise(bundle, wide, loss_px)
    goal = np.zeros(system.frames * system.block + system.shared)
    if free.zoom:
        goal[np.arange(system.frames) * 7 + 6] = 1.0 / system.frames
    else:
        goal[-2] = 1.0
    lens = bundle.lens
    longest = max(lens.width, lens.height)
    return deviation(system.scores(goal), clusters(bundle.track, bundle.frame, bundle.xy, longest), not free.k1)


def deviation(score: np.ndarray, labels, undecided: bool) -> float:
    """From what each observation (M,) moves the focal length by, and ``labels``: several ways to cluster them.

    ``undecided``: the radial term took part in the scores but not in the adjustment.
    """
    moved = float(score.sum()) if undecided else 0.0
    return float(np.hypot(max(_scatter(score, label) for label in labels), 0.5 * moved))


def clusters(track: np.ndarray, frame: np.ndarray, xy: np.ndarray, longest_px: float):
    """Labels (M,) of the observations: by track, by place in the picture, by time."""
    yield track
    for cells in CELLS:
        place = np.floor(xy / (longest_px / cells)).astype(np.int64)
        yield place[:, 1] * (cells + 1) + place[:, 0]
    yield frame * MOMENTS // (int(frame.max()) + 1)


def _scatter(score: np.ndarray, cluster: np.ndarray) -> float:
    _, label = np.unique(cluster, return_inverse=True)
    sums = np.bincount(label, score)
    # A common shift is no scatter; few clusters say too little of it.
    return float(np.sqrt(np.sum((sums - sums.mean()) ** 2) * len(sums) / max(len(sums) - 1, 1)))
