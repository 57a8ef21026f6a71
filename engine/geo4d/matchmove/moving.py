"""A moving camera: both mappers on the key frames, the better answer grown to all frames and adjusted."""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import SolveError
from ..geometry.camera import Intrinsics
from ..progress import Progress
from ..tracking.tracks import Tracks
from . import mapping
from .adjust import Problem, adjust
from .bundle import Bundle, Freedom, adjust_bundle
from .database import Pair, new_camera, write_database
from .focal_deviation import focal_deviation
from .judge import LOSS_PX, Judged, focal_slope, good_rows, judge
from .observations import Observations, thin
from .resection import MIN_POINTS, fill_gaps, resect
from .solve import POSE_RESECTED, POSE_SOLVED
from .triangulation import reprojection_errors, triangulate, triangulation_angles

EPIPOLAR_PX = 2.0
MIN_SLOPE = 0.01  # focal lengths 7 % apart whose costs differ by less cannot be told apart
MIN_EXPLAINED = 0.5  # share of observations below which the solve is called doubtful
MAX_SIGMA = 0.03  # relative deviation of the focal length that asks for a warning
MAX_SPREAD = 0.06  # relative difference of the candidates' focal lengths that asks for a warning


@dataclass
class Grown:
    """Cameras of all frames, points of all tracks."""

    motion: str
    c2w: np.ndarray  # (F, 4, 4)
    source: np.ndarray  # (F,) POSE_*
    points: np.ndarray  # (N, 3), NaN where none
    lens: Intrinsics
    error: np.ndarray  # (M,) pixels, infinite where none
    statistics: dict = field(default_factory=dict)


def solve_moving(
    observations: Observations,
    subset: Observations,
    keys: np.ndarray,
    pairs: list[Pair],
    start_px: float,
    fixed_focal: bool,
    times: np.ndarray,
    progress: Progress,
) -> Grown:
    """``subset`` holds the thinned tracks that the mappers work on, with the same track numbers."""
    tracks = subset.tracks
    rows = np.flatnonzero(np.isin(tracks.frame, keys))
    candidates = map_key_frames(subset, keys, pairs, start_px, fixed_focal, progress)
    judged = [judge(tracks, c, keys, rows, fixed_focal, progress) for c in candidates]
    judged = [j for j in judged if j is not None and np.isfinite(j.score) and j.explained > 0.2]
    if not judged:
        raise SolveError(
            "no_consistent_motion",
            f"No camera motion explains the {len(observations.tracks)} features that were followed.",
            "The shot may hold mostly moving objects, cuts or noise; choose another range.",
        )
    best = min(judged, key=lambda j: j.score)
    slope = np.inf if fixed_focal else focal_slope(tracks, best, rows, progress)
    if best.explained < MIN_EXPLAINED:
        progress.warn(
            "little_agreement",
            f"Only {100 * best.explained:.0f} % of the picture's features agree with one camera in a still world.",
            "Moving objects, smoke or a zoom may have misled the solve: check it against the footage.",
        )
    grown, bundle = grow(observations, best, fixed_focal, times, progress)
    free = Freedom(focal=not fixed_focal, k1=grown.lens.k1 != 0.0)
    bundle = adjust_bundle(bundle, progress, free, LOSS_PX * tracks.working_scale, 4)
    sigma = focal_deviation(bundle, free, LOSS_PX * tracks.working_scale)
    warn_of_focal(judged, best, grown.lens.fx, slope, sigma, progress)
    grown.statistics.update(
        mapper=best.name,
        key_frames=len(keys),
        registered_key_frames=best.registered,
        focal_candidates_px={j.name: round(j.lens.fx, 2) for j in judged} | {"pairs": round(start_px, 2)},
        focal_cost_slope=None if fixed_focal else round(slope, 4),
        focal_sigma_relative=None if slope < MIN_SLOPE else round(sigma, 5),
        key_frame_error_px=round(best.error_px, 4),
        explained_share=round(best.explained, 4),
    )
    return grown


def map_key_frames(observations, keys, pairs, start_px: float, fixed_focal: bool, progress: Progress):
    """Candidates of both mappers, made in a temporary folder that is gone afterwards."""
    tracks = observations.tracks
    camera = new_camera(tracks.width, tracks.height, start_px, True)
    with tempfile.TemporaryDirectory(prefix="geo4d-", ignore_cleanup_errors=True) as folder:
        folder = Path(folder)
        base = folder / "tracks.db"
        write_database(base, observations, keys, camera, pairs, EPIPOLAR_PX * tracks.working_scale, progress)
        candidates = mapping.global_map(base, folder / "global", progress, fixed_focal)
        candidates += mapping.incremental_map(base, folder / "incremental", progress, fixed_focal)
    return candidates


def warn_of_focal(
    judged: list[Judged], best: Judged, focal_px: float, slope: float, sigma: float, progress: Progress
) -> None:
    """Say so when the shot does not tell its focal length, or not well."""
    focals = np.array([j.lens.fx for j in judged if j.score < 1.3 * best.score])
    spread = float(focals.max() / focals.min() - 1)
    if spread <= MAX_SPREAD and slope >= MIN_SLOPE and sigma > MAX_SIGMA:
        progress.warn(
            "focal_uncertain",
            f"The focal length is uncertain: {focal_px:.0f} px, give or take {sigma * focal_px:.0f} px.",
            "Enter the lens's focal length if you know it, or use a stretch in which the camera travels further.",
        )
    elif spread > MAX_SPREAD or slope < MIN_SLOPE:
        low, high = focals.min(), focals.max()
        said = (
            f"answers range from {low:.0f} to {high:.0f} px"
            if spread > MAX_SPREAD
            else f"{best.lens.fx:.0f} px is a guess"
        )
        progress.warn(
            "focal_uncertain",
            f"The shot has too little parallax to tell its focal length: {said}.",
            "Enter the lens's focal length if you know it, or use a stretch in which the camera travels further.",
        )


def grow(observations: Observations, judged: Judged, fixed_focal: bool, times: np.ndarray, progress: Progress):
    """Triangulate all tracks with the key frames' cameras, resect the other frames, adjust everything.

    Returns the :class:`Grown` and the :class:`Bundle` of the last adjustment.
    """
    tracks = observations.tracks
    scale, frames = tracks.working_scale, tracks.frame_count
    c2w, lens = judged.c2w.copy(), judged.lens
    t, f, xy = tracks.track, tracks.frame, tracks.xy.astype(np.float64)
    refine_k1 = lens.k1 != 0.0
    points = triangulate(t, f, xy, c2w, lens, len(tracks), scale)
    resect_missing(observations, points, c2w, lens, progress)
    picked = thin(tracks, np.arange(frames), 500)[t]
    used = np.zeros(0, dtype=np.int64)
    for limit in (3.0, 2.0):
        points = triangulate(t, f, xy, c2w, lens, len(tracks), scale)
        error = reprojection_errors(points, t, f, xy, c2w, lens)
        rows = np.flatnonzero(picked & np.isfinite(c2w[f, 0, 0]))
        used = good_rows(tracks, points, error[rows], c2w, rows, limit * scale)
        problem = Problem(c2w, points, t[used], f[used], xy[used], lens)
        adjust(problem, progress, not fixed_focal, refine_k1, LOSS_PX * scale, 40)
        c2w, lens = problem.c2w, problem.lens
        resect_missing(observations, points, c2w, lens, progress)
    source = np.full(frames, POSE_SOLVED, dtype=np.uint8)
    source[np.bincount(f[used], minlength=frames) < MIN_POINTS] = POSE_RESECTED
    placed = int(np.isfinite(c2w[:, 0, 0]).sum())
    fill_gaps(c2w, source, times)
    points = triangulate(t, f, xy, c2w, lens, len(tracks), scale)
    error = reprojection_errors(points, t, f, xy, c2w, lens)
    angle = triangulation_angles(points, t, f, c2w)[np.unique(t[used])]
    statistics = {
        "placed_frames": placed,
        "adjusted_observations": len(used),
        "triangulation_angle_deg": round(float(np.nanmedian(angle)), 3),
    }
    used = used[np.isfinite(points[t[used], 0])]
    many = replace(lens, **{name: np.full(frames, getattr(lens, name)) for name in ("fx", "fy", "cx", "cy")})
    bundle = Bundle(c2w, np.nan_to_num(points), t[used], f[used], xy[used], many)
    return Grown("moving", c2w, source, points, lens, error, statistics), bundle


def resect_missing(observations: Observations, points, c2w, lens, progress) -> None:
    """Pose in place the frames that are still NaN, from the points that their tracks know."""
    tracks: Tracks = observations.tracks
    todo = np.flatnonzero(~np.isfinite(c2w[:, 0, 0]))
    for done, frame in enumerate(todo):
        rows = observations.rows(int(frame))
        rows = rows[np.isfinite(points[tracks.track[rows], 0])]
        found = resect(points[tracks.track[rows]], tracks.xy[rows], lens, 3.0 * tracks.working_scale)
        if found is not None:
            c2w[frame] = found[0]
        progress.advance("resect", done + 1, len(todo))
