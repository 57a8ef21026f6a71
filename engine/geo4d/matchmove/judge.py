"""Which mapper's answer to trust: candidates adjusted alike on the same observations, then compared."""

from dataclasses import dataclass, replace

import numpy as np

from ..geometry.camera import Intrinsics
from ..progress import Progress
from .adjust import Problem, adjust
from .triangulation import reprojection_errors, triangulate, triangulation_angles

LOSS_PX = 1.0  # Cauchy scale, pixels of the tracked image
CAP_PX = 4.0  # an error beyond this counts as not explained
K1_GAIN = 0.04  # least relative gain in cost that buys a radial term
MAX_K1 = 0.5
MIN_ROWS = 200  # observations that must agree for a candidate to be one
PLAUSIBLE_RATIO = (0.4, 4.0)  # focal length over the longer side: about 100 to 14 degrees


@dataclass
class Judged:
    """A candidate after adjustment on the key frames; lower ``score`` is better."""

    name: str
    c2w: np.ndarray  # (F, 4, 4), NaN where unposed
    lens: Intrinsics
    score: float
    registered: int
    error_px: float  # median over explained observations
    explained: float  # share of all observations
    angle_deg: float  # median triangulation angle
    focal_slope: float  # relative rise of the cost when the focal length is 7 % off, the smaller of both sides


def explain(tracks, c2w, lens, rows) -> tuple[np.ndarray, np.ndarray, float]:
    """Points, errors (R,) of ``rows`` and mean capped Cauchy cost, everything unexplained at the cap."""
    scale = tracks.working_scale
    t, f, xy = tracks.track[rows], tracks.frame[rows], tracks.xy[rows].astype(np.float64)
    points = triangulate(t, f, xy, c2w, lens, len(tracks), scale)
    error = reprojection_errors(points, t, f, xy, c2w, lens)
    cost = np.log1p(np.minimum(error / (LOSS_PX * scale), CAP_PX) ** 2)
    return points, error, float(cost.mean()) if len(rows) else np.inf


def good_rows(tracks, points, error, c2w, rows, limit_px: float, min_angle_deg: float = 0.2) -> np.ndarray:
    """Of ``rows``, those that take part in an adjustment: agreeing observations of points that rays pin down.

    A track must agree in most of its observations: what agrees now and then is a mover seen by chance.
    """
    t = tracks.track[rows]
    good = error < limit_px
    seen = np.bincount(t, minlength=len(tracks))
    kept = np.bincount(t[good], minlength=len(tracks))
    angle = np.nan_to_num(triangulation_angles(points, t, tracks.frame[rows], c2w))
    fine = (kept >= 3) & (kept >= 0.7 * seen) & (angle > min_angle_deg)
    return rows[good & fine[t]]


def refine(tracks, c2w, lens, rows, progress, focal: bool, k1: bool, rounds=(4.0, 2.5), iterations: int = 25):
    """Triangulate, drop what disagrees, adjust; returns (c2w, lens, mean Cauchy cost of the rows last used, rows)."""
    scale, used, cost = tracks.working_scale, rows, np.inf
    for limit in rounds:
        points, error, _ = explain(tracks, c2w, lens, rows)
        used = good_rows(tracks, points, error, c2w, rows, limit * scale)
        if len(used) < MIN_ROWS:
            return c2w, lens, np.inf, used
        problem = Problem(c2w.copy(), points, tracks.track[used], tracks.frame[used], tracks.xy[used], lens)
        cost = adjust(problem, progress, focal, k1, LOSS_PX * scale, iterations)
        c2w, lens = problem.c2w, problem.lens
    return c2w, lens, cost, used


def judge(tracks, candidate, keys, rows, fixed_focal: bool, progress: Progress) -> Judged | None:
    """Adjust a candidate on the key frames' ``rows`` without and with a radial term, and score it."""
    f = candidate.focal_px
    lens = Intrinsics(tracks.width, tracks.height, f, f, tracks.width / 2, tracks.height / 2, candidate.k1)
    c2w = np.full((tracks.frame_count, 4, 4), np.nan)
    for k, pose in candidate.poses.items():
        c2w[keys[k]] = pose
    if len(candidate.poses) < 3:
        return None
    rows = rows[np.isfinite(c2w[tracks.frame[rows], 0, 0])]
    bent_c2w, bent, _, used = refine(tracks, c2w, lens, rows, progress, not fixed_focal, True)
    if len(used) < MIN_ROWS:
        return None
    plain_c2w, plain, _, _ = refine(tracks, bent_c2w, replace(bent, k1=0.0), rows, progress, not fixed_focal, False)
    # Both lenses on the same observations, or the one that has thrown more away would look better.
    bent_cost = cost_of(tracks, bent_c2w, bent, used, progress, not fixed_focal, True)
    plain_cost = cost_of(tracks, plain_c2w, plain, used, progress, not fixed_focal, False)
    bent_wins = bent_cost < (1 - K1_GAIN) * plain_cost and abs(bent.k1) < MAX_K1
    c2w, lens = (bent_c2w, bent) if bent_wins else (plain_c2w, plain)
    points, error, score = explain(tracks, c2w, lens, rows)
    fine = error < CAP_PX * tracks.working_scale
    angle = triangulation_angles(points, tracks.track[rows], tracks.frame[rows], c2w)
    ratio = lens.fx / max(lens.width, lens.height)
    if not PLAUSIBLE_RATIO[0] < ratio < PLAUSIBLE_RATIO[1]:
        score *= 1.5
    registered = len(candidate.poses)
    score *= (len(keys) / registered) ** 2
    name = candidate.name
    progress.log(
        f"candidate {name}: {registered} of {len(keys)} key frames, focal {lens.fx:.1f} px, k1 {lens.k1:+.4f}, "
        f"radial term gains {100 * (1 - bent_cost / plain_cost):.2f} %, error {np.median(error[fine]):.3f} px, "
        f"explained {100 * fine.mean():.1f} %, angle {np.nanmedian(angle):.2f} deg, score {score:.4f}"
    )
    return Judged(
        name,
        c2w,
        lens,
        score,
        registered,
        float(np.median(error[fine])),
        float(fine.mean()),
        float(np.nanmedian(angle)),
        np.nan,
    )


def cost_of(tracks, c2w, lens, rows, progress, focal: bool, k1: bool) -> float:
    """Mean Cauchy cost of ``rows`` after adjusting to them."""
    points, _, _ = explain(tracks, c2w, lens, rows)
    problem = Problem(c2w.copy(), points, tracks.track[rows], tracks.frame[rows], tracks.xy[rows], lens)
    return adjust(problem, progress, focal, k1, LOSS_PX * tracks.working_scale, 15)


def focal_slope(tracks, judged: Judged, rows, progress) -> float:
    """Relative rise of the cost when the focal length is held 7 % too short or too long: how well it is seen."""
    rows = rows[np.isfinite(judged.c2w[tracks.frame[rows], 0, 0])]
    points, error, _ = explain(tracks, judged.c2w, judged.lens, rows)
    used = good_rows(tracks, points, error, judged.c2w, rows, 2.5 * tracks.working_scale)
    base = cost_of(tracks, judged.c2w, judged.lens, used, progress, False, False)
    k = judged.lens
    off = [
        cost_of(tracks, judged.c2w, replace(k, fx=k.fx * s, fy=k.fx * s), used, progress, False, False)
        for s in (0.93, 1.07)
    ]
    return float(min(off) / base - 1)
