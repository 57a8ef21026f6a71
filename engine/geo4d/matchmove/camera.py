"""Cameras of a shot from its tracks: static, tripod or moving, each recognised and solved as such."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..errors import BadRequest, SolveError
from ..progress import Progress
from ..tracking.tracks import Tracks
from .calibration import PRIOR_RATIO, focal_from_fundamentals
from .database import Pair, epipolar_survey, key_pairs
from .gravity import estimate_up
from .moving import Grown, solve_moving
from .observations import Observations, pick_key_frames, thin
from .solve import POSE_HELD, Solve
from .static import is_static, still_positions
from .triangulation import RADIUS
from .tripod import (
    INLIER_PX,
    MIN_AGREEMENT,
    WORTH_TRYING,
    centred_lens,
    finish_directions,
    solve_tripod,
    survey_rotation,
    unit_rays,
)

MIN_FRAMES = 3
MIN_SHARED = 30  # tracks that live for three frames, the least that says anything of a camera
STATIC_PX = 3.0  # error up to which an observation agrees with the rigid world, in pixels of the tracked image
PER_KEY_FRAME = 300


def solve_camera(
    tracks: Tracks, progress: Progress, focal_px: float | None = None, times: np.ndarray | None = None
) -> Solve:
    """One camera a frame from a shot's tracks; fills ``tracks.static``, ``tracks.xyz`` and ``tracks.error_px``.

    Parameters
    ----------
    focal_px : focal length in footage pixels where the user knows it; solved for otherwise.
    times : (F,) seconds, for interpolated poses; evenly spaced unless given.

    Raises
    ------
    BadRequest : fewer than three frames.
    SolveError : no camera motion agrees with the tracks.
    """
    check(tracks, focal_px)
    times = np.arange(tracks.frame_count, dtype=np.float64) if times is None else times
    observations = Observations(tracks)
    if is_static(observations):
        progress.log("camera: static")
        grown = hold(tracks, focal_px, progress)
        return finish(tracks, grown, progress)
    grown, view = turning_camera(observations, focal_px, progress)
    if grown is None:
        if len(view.pairs) < 2:
            raise no_motion(tracks)
        start = focal_px or view.focal_px
        grown = solve_moving(
            observations, view.subset, view.keys, view.pairs, start, focal_px is not None, times, progress
        )
    return finish(tracks, grown, progress)


@dataclass
class KeyView:
    """A shot seen through its key frames."""

    subset: Observations  # the longest tracks of every part of the picture
    keys: np.ndarray  # (K,) positions
    pairs: list[Pair]
    focal_px: float  # from pairs alone


def turning_camera(
    observations: Observations, focal_px: float | None, progress: Progress
) -> tuple[Grown | None, KeyView]:
    """The solution of a camera that turns on the spot, None where it travels; and the key frames looked at."""
    tracks = observations.tracks
    keys = pick_key_frames(tracks)
    subset = Observations(part(tracks, thin(tracks, keys, PER_KEY_FRAME)))
    pairs = key_pairs(subset, keys)
    if len(pairs) < 2:
        return None, KeyView(subset, keys, pairs, np.nan)
    survey = epipolar_survey(subset, pairs, INLIER_PX * tracks.working_scale, progress)
    rotation = survey_rotation(subset.tracks, [s[0] for s in survey], [s[2] for s in survey], focal_px, progress)
    from_pairs, _ = focal_from_fundamentals([s[1] for s in survey if s[1] is not None], tracks.width, tracks.height)
    progress.log(
        f"camera: {len(pairs)} pairs of {len(keys)} key frames; rotation agrees with {100 * rotation.agreement:.0f} % "
        f"of epipolar inliers; focal from pairs {from_pairs:.1f} px"
    )
    view = KeyView(subset, keys, pairs, from_pairs)
    if rotation.agreement <= WORTH_TRYING:
        return None, view
    return turn_on_the_spot(subset, observations, keys, rotation, focal_px, progress), view


def check(tracks: Tracks, focal_px: float | None) -> None:
    if tracks.frame_count < MIN_FRAMES:
        raise BadRequest(
            "too_few_frames",
            f"The shot has {tracks.frame_count} frames; a camera cannot be solved from fewer than {MIN_FRAMES}.",
            "Choose a longer strip or a wider frame range.",
        )
    if focal_px is not None and not 0 < focal_px < np.inf:
        raise BadRequest("bad_focal", f"{focal_px} px is not a focal length.", "Give a number of pixels above zero.")
    lengths = np.bincount(tracks.track, minlength=len(tracks))
    if (lengths >= 3).sum() < MIN_SHARED:
        raise SolveError(
            "no_persistent_features",
            f"Only {(lengths >= 3).sum()} features could be followed for three frames or more.",
            "The footage may be noise, strongly blurred, without texture, or cut in every frame.",
        )


def no_motion(tracks: Tracks) -> SolveError:
    return SolveError(
        "no_consistent_motion",
        f"No camera motion explains the {len(tracks)} features that were followed.",
        "The shot may hold mostly moving objects, cuts or noise; choose another range.",
    )


def part(tracks: Tracks, chosen: np.ndarray) -> Tracks:
    """The chosen (N,) bool tracks alone, under their own numbers."""
    rows = chosen[tracks.track]
    return replace(
        tracks, track=tracks.track[rows], frame=tracks.frame[rows], xy=tracks.xy[rows], fb_error=tracks.fb_error[rows]
    )


def hold(tracks: Tracks, focal_px: float | None, progress: Progress) -> Grown:
    """A camera that stands still, at the origin; the lens cannot be seen and is assumed unless given."""
    if focal_px is None:
        focal_px = PRIOR_RATIO * max(tracks.width, tracks.height)
        progress.warn(
            "focal_assumed",
            f"The camera does not move, so its focal length cannot be measured; {focal_px:.0f} px is assumed.",
            "Enter the lens's focal length if you know it.",
        )
    lens = centred_lens(tracks.width, tracks.height, focal_px)
    mean, _ = still_positions(tracks)
    frames = tracks.frame_count
    return Grown(
        "static",
        np.tile(np.eye(4), (frames, 1, 1)),
        np.full(frames, POSE_HELD, dtype=np.uint8),
        RADIUS * unit_rays(mean, lens),
        lens,
        np.linalg.norm(tracks.xy - mean[tracks.track], axis=1),
        {"points_depth": "nominal"},
    )


def turn_on_the_spot(subset, observations, keys, rotation, focal_px, progress) -> Grown | None:
    """The tripod solution, or None where rotations do not explain the whole shot after all."""
    tracks = observations.tracks
    start = focal_px or rotation.focal_px
    turned, source, panorama = solve_tripod(subset, keys, start, focal_px is not None, progress)
    lens = panorama.lens
    direction, error = finish_directions(observations, turned, lens)
    agreed = float((error < INLIER_PX * tracks.working_scale).mean())
    progress.log(f"camera: tripod, focal {lens.fx:.1f} px +- {100 * panorama.focal_sigma:.2f} %, agreed {agreed:.3f}")
    if agreed < MIN_AGREEMENT * rotation.epipolar_share:
        return None
    if focal_px is None and not panorama.focal_sigma < 0.03:
        progress.warn(
            "focal_uncertain",
            f"The camera turns too little to tell its focal length; {lens.fx:.0f} px is a guess.",
            "Enter the lens's focal length if you know it.",
        )
    c2w = np.tile(np.eye(4), (tracks.frame_count, 1, 1))
    c2w[:, :3, :3] = turned
    statistics = {
        "points_depth": "nominal",
        "focal_sigma_relative": round(panorama.focal_sigma, 5),
        "explained_share": round(agreed, 4),
        "key_frames": len(keys),
    }
    return Grown("tripod", c2w, source, RADIUS * direction, lens, error, statistics)


def finish(tracks: Tracks, grown: Grown, progress: Progress) -> Solve:
    """The grown reconstruction as a :class:`Solve`; writes the verdict on each track into ``tracks``."""
    n, frames = len(tracks), tracks.frame_count
    error, t, f = grown.error, tracks.track, tracks.frame
    inlier = error < STATIC_PX * tracks.working_scale
    seen = np.bincount(t, minlength=n)
    agreed = np.bincount(t[inlier], minlength=n)
    mean = np.bincount(t[inlier], error[inlier], minlength=n) / np.maximum(agreed, 1)
    tracks.static = agreed >= 0.8 * seen
    has_point = np.isfinite(grown.points[:, 0]) & (agreed >= 2)
    tracks.xyz = np.where(has_point[:, None], grown.points, np.nan)
    tracks.error_px = np.where(has_point, mean, np.nan).astype(np.float32)
    used = inlier & tracks.static[t] & has_point[t]
    order = np.flatnonzero(used)[np.argsort(f[used], kind="stable")]
    bounds = np.searchsorted(f[order], np.arange(frames + 1))
    per_frame = np.array(
        [np.median(error[order[a:b]]) if b > a else np.nan for a, b in pairwise(bounds)],
        dtype=np.float32,
    )
    world = has_point & tracks.static & (agreed >= 3)
    lens = grown.lens
    solve = Solve(
        width=tracks.width,
        height=tracks.height,
        motion=grown.motion,
        c2w=grown.c2w,
        fx=np.full(frames, lens.fx),
        fy=np.full(frames, lens.fy),
        cx=np.full(frames, lens.cx),
        cy=np.full(frames, lens.cy),
        k1=lens.k1,
        pose_source=grown.source,
        reprojection_error_px=per_frame,
        points=grown.points[world],
        points_rgb=tracks.rgb[world],
        points_error_px=tracks.error_px[world],
        up=estimate_up(grown.c2w, grown.points[world] if grown.motion == "moving" else np.zeros((0, 3))),
    )
    solve.statistics = grown.statistics | {
        "tracks": n,
        "static_share": round(float(tracks.static.mean()), 4),
        "reprojection_error_median_px": round(float(np.median(error[used])), 4) if used.any() else None,
        "reprojection_error_95_px": round(float(np.percentile(error[used], 95)), 4) if used.any() else None,
    }
    progress.advance("solve", 1, 1)
    return solve
