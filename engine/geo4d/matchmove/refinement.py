"""Refinement of any solve to sub-pixel against long 2D tracks.

The solve may come from the track engine or from a model's alignment, some pixels off. Points are triangulated
robustly (starting where a model's depth maps put them, where there are any), tracks that move drop out, and cameras,
points and the lens are adjusted together under a Cauchy loss whose scale shrinks from the errors found to one pixel.
A share of the tracks takes no part (:mod:`.held_out`); by their errors the refined solve is accepted or refused.
"""

from dataclasses import replace

import numpy as np

from ..progress import Progress
from ..tracking.tracks import Tracks
from . import held_out
from .bundle import Bundle, Freedom, adjust_bundle, lens_sigma
from .camera import finish, hold, part, turning_camera
from .depth_guide import guided_points, sample_depth
from .focal_deviation import focal_deviation
from .moving import Grown
from .observations import Observations, thin
from .quality import grade_frames, grade_shot
from .solve import POSE_SOLVED, Solve
from .static import is_static
from .triangulation import points_or_directions, reprojection_errors, triangulate, triangulation_angles

PER_FRAME = 500  # tracks of a frame that take part
LOSS_PX = 1.0  # Cauchy scale of the last rounds, pixels of the tracked image
MIN_ROWS = 200  # observations below which nothing is adjusted
MIN_POINTS = 12  # tracks that a frame needs to be adjusted
MIN_ANGLE_DEG = 0.1  # of a track's rays, for its point to take part without a depth of its own
DEPTH_SIGMA = 0.1  # of a model's log depth at one place
MODEL_FOCAL_SIGMA = 0.03  # of a model's log focal length
MODEL_FOCAL_GAIN = 0.01  # relative gain in cost from which the tracks' focal length is believed instead
K1_GAIN, K1_SIGMAS = 0.005, 5.0  # least relative gain in cost, least standard deviations, that buy a radial term
ZOOM_GAIN, ZOOM_SIGMAS = 0.05, 6.0  # the same for a zoom, of the range of log focal lengths
SEEN_FOCAL = 0.1  # relative standard deviation beyond which the tracks do not tell the focal length at all


def refine(
    solve: Solve,
    tracks: Tracks,
    progress: Progress,
    depth=None,
    fixed_focal: bool = False,
    motion_known: bool = False,
    zoom: str = "auto",
) -> Solve:
    """The solve, adjusted to the tracks; fills ``tracks.static``, ``tracks.xyz`` and ``tracks.error_px``.

    Parameters
    ----------
    solve : cameras of all frames; stays as it is.
    tracks : long tracks of the same frames.
    depth : where a model made ``solve``: an object with ``frame(i) -> DepthFrame`` or a function of i, maps in
        ``solve``'s world and cameras. A soft prior for the points and their first guess.
    fixed_focal : the focal length of ``solve`` is known and stays.
    motion_known : ``solve.motion`` was told from these very tracks; otherwise a camera that the tracks show to
        stand still is held, and one that only turns is solved as such.
    zoom : "fixed" where the lens is known to keep its focal length, "zoom" where it is known to change, "auto" where
        the tracks decide.

    Returns
    -------
    A new solve in the same world. ``statistics["held_out"]`` tells its error on tracks that it never saw,
    ``["held_out_before"]`` that of ``solve``; ``quality`` and ``statistics["quality"]`` grade it. Where the refined
    cameras explain those tracks worse than ``solve`` does, or too few tracks agree, ``solve``'s own cameras are
    returned and a warning ``refinement_refused`` says so.
    """
    held = held_out.choose(tracks)
    training = part(tracks, ~held)
    given = as_grown(solve)
    refined = None
    if solve.motion == "moving":
        if not motion_known:
            refined = at_rest(solve, training, fixed_focal, progress)
        if refined is None:
            refined = adjust_moving(solve, training, depth, fixed_focal, progress, zoom)
    before = held_out.robust_error(tracks, held, solve.c2w, solve.lenses())
    grown = given
    if refined is not None:
        after = held_out.robust_error(tracks, held, refined.c2w, refined.lens)
        progress.log(f"refinement: held-out cost {before:.4f} before, {after:.4f} after")
        if after <= before:
            grown = refined
    if grown is given and solve.motion == "moving":
        progress.warn(
            "refinement_refused",
            "The cameras could not be improved by the tracks and are left as they were."
            if refined is None
            else "Adjusting the cameras to the tracks made them worse, so they are left as they were.",
            "Moving objects or blur may have misled the tracks: check the camera against the footage.",
        )
    return conclude(solve, given, grown, tracks, held, depth, fixed_focal, progress)


def as_grown(solve: Solve) -> Grown:
    return Grown(solve.motion, solve.c2w, solve.pose_source, np.zeros((0, 3)), solve.lenses(), np.zeros(0))


def at_rest(solve: Solve, training: Tracks, fixed_focal: bool, progress: Progress) -> Grown | None:
    """The camera where the tracks show it to stand still or to turn on the spot, at ``solve``'s place; else None."""
    observations = Observations(training)
    focal_px = float(np.median(solve.fx))
    centre = np.median(solve.c2w[:, :3, 3], axis=0)
    if is_static(observations):
        progress.log("refinement: the camera stands still")
        still = hold(training, focal_px, progress)
        nearest = int(np.argmin(np.linalg.norm(solve.c2w[:, :3, 3] - centre, axis=1)))
        return replace(still, c2w=np.tile(solve.c2w[nearest], (len(solve), 1, 1)))
    turning = turning_camera(observations, focal_px if fixed_focal else None, progress)[0]
    if turning is None:
        return None
    progress.log("refinement: the camera turns on the spot")
    U, _, Vt = np.linalg.svd(np.einsum("fij,fkj->ik", solve.c2w[:, :3, :3], turning.c2w[:, :3, :3]))
    onto = U @ np.diag([1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt
    c2w = turning.c2w.copy()
    c2w[:, :3, :3] = onto @ c2w[:, :3, :3]
    c2w[:, :3, 3] = centre
    return replace(turning, c2w=c2w)


def conclude(
    solve: Solve, given: Grown, grown: Grown, tracks: Tracks, held: np.ndarray, depth, fixed_focal: bool, progress
) -> Solve:
    """The finished solve: points and verdicts for all tracks, errors on the held-out ones before and after, grades."""
    points = all_points(grown, tracks)
    if grown.motion != "moving" and depth is not None:
        points = at_model_depth(
            points, grown.c2w[0, :3, 3], guided_points(tracks, solve, sample_depth(tracks, solve, depth)[0])
        )
    error = reprojection_errors(points, tracks.track, tracks.frame, tracks.xy, grown.c2w, grown.lens)
    statistics = {**solve.statistics, **grown.statistics}
    grown = replace(grown, points=points, error=error, statistics=statistics)
    finished = finish(tracks, grown, progress)
    for name, one in (("held_out_before", given), ("held_out", grown)):
        finished.statistics[name] = held_out.measure(tracks, held, tracks.static, one.c2w, one.lens).as_dict()
    finished.quality = grade_frames(finished, tracks)
    sigma = 0.0 if fixed_focal else finished.statistics.get("focal_sigma_relative")
    finished.statistics["quality"] = grade_shot(finished, tracks, finished.quality, sigma)
    return finished


def at_model_depth(points: np.ndarray, centre: np.ndarray, guided: np.ndarray) -> np.ndarray:
    """Points (N, 3) moved along their rays from ``centre`` to the distance of ``guided`` (N, 3) where that is known."""
    known = np.isfinite(guided[:, 0])
    if not known.any():
        return points
    ray = points - centre
    distance = np.linalg.norm(guided - centre, axis=1)
    distance = np.where(known, distance, np.median(distance[known]))
    return centre + ray / np.linalg.norm(ray, axis=1, keepdims=True) * distance[:, None]


def all_points(grown: Grown, tracks: Tracks) -> np.ndarray:
    """Points (N, 3) of all tracks under the finished cameras."""
    t, f, xy = tracks.track, tracks.frame, tracks.xy.astype(np.float64)
    if grown.motion == "moving":
        return triangulate(t, f, xy, grown.c2w, grown.lens, len(tracks), tracks.working_scale)
    return points_or_directions(t, f, xy, grown.c2w, grown.lens, len(tracks), tracks.working_scale)


def adjust_moving(
    solve: Solve, training: Tracks, depth, fixed_focal: bool, progress: Progress, zoom: str = "auto"
) -> Grown | None:
    """Cameras and lens adjusted to the training tracks; None where too little agrees to adjust anything.

    ``zoom``: as for :func:`refine`; with "zoom" ``solve.fx`` is where the focal lengths start from.
    """
    scale = training.working_scale
    t, f, xy = training.track, training.frame, training.xy.astype(np.float64)
    count = len(training)
    picked = thin(training, np.arange(len(solve)), PER_FRAME)[t]
    lens = solve.lenses()
    z, moving = sample_depth(training, solve, depth) if depth is not None else (None, None)
    points = guided_points(training, solve, z) if depth is not None else np.full((count, 3), np.nan)
    blank = ~np.isfinite(points[:, 0])
    start_px = typical_error(points, training, solve.c2w, lens) if (~blank).any() else 4.0 * scale
    points[blank] = triangulate(t, f, xy, solve.c2w, lens, count, start_px)[blank]
    if moving is not None:
        seen = np.maximum(np.bincount(t, minlength=count), 1)
        picked &= (np.bincount(t, moving, minlength=count) / seen < 0.8)[t]
    c2w, used = solve.c2w.copy(), None
    free = Freedom(focal=not fixed_focal, zoom=zoom == "zoom" and not fixed_focal, k1=lens.k1 != 0.0)
    loss = max(LOSS_PX * scale, typical_error(points, training, c2w, lens))
    rounds = 0
    while True:
        last = loss <= LOSS_PX * scale
        error = reprojection_errors(points, t, f, xy, c2w, lens)
        used = agreeing(training, points, error, c2w, picked, (4.0 if rounds else 6.0) * loss, z)
        if len(used) < MIN_ROWS:
            return None
        bundle = Bundle(c2w, np.nan_to_num(points), t[used], f[used], xy[used], lens)
        if z is not None:
            bundle = replace(bundle, depth=z[used], depth_sigma=DEPTH_SIGMA)
        bundle = adjust_bundle(bundle, progress, free, loss, 30 if last else 12)
        progress.log(
            f"refinement: loss {loss:.2f} px, {len(used)} observations, cost {bundle.cost:.4f}, focal "
            f"{bundle.lens.fx[0]:.1f} px, k1 {bundle.lens.k1:+.4f}"
        )
        c2w, lens = bundle.c2w, bundle.lens
        points = triangulate(t, f, xy, c2w, lens, count, loss)
        rounds += 1
        if last and rounds >= 2:
            break
        loss = max(LOSS_PX * scale, min(loss / 2.5, typical_error(points, training, c2w, lens)))
    bundle, free, sigma = settle_lens(
        bundle, free, loss, float(np.median(solve.fx)), depth is not None, zoom == "auto", progress
    )
    c2w, lens = bundle.c2w, bundle.lens
    points = triangulate(t, f, xy, c2w, lens, count, loss)
    error = reprojection_errors(points, t, f, xy, c2w, lens)
    source = np.where(np.bincount(f[used], minlength=len(solve)) < MIN_POINTS, solve.pose_source, POSE_SOLVED)
    statistics = {
        "adjusted_observations": len(used),
        "triangulation_angle_deg": round(float(np.nanmedian(triangulation_angles(points, t, f, c2w)[t[used]])), 3),
        "zoom": free.zoom,
        "focal_sigma_relative": round(sigma, 5) if sigma < SEEN_FOCAL else None,
    }
    return Grown("moving", c2w, source.astype(np.uint8), points, lens, error, statistics)


def settle_lens(
    bundle: Bundle, free: Freedom, loss: float, model_focal: float, from_model: bool, may_zoom: bool, progress: Progress
) -> tuple[Bundle, Freedom, float]:
    """The bundle with the lens that the tracks ask for; what of it is free; relative deviation of the focal length.

    A radial term and a zoom are taken where they explain the tracks better by more than chance. A model's focal
    length stays unless the tracks are clearly better off without it: over a short path the small errors that all
    tracks share mimic another focal length, and the curvature of the cost alone would not tell.
    """
    if not free.focal:
        return bundle, free, 0.0
    plain = adjust_bundle(bundle, progress, free, loss, 10)
    best, chosen = plain, free
    for one, gain in ((replace(free, k1=True), K1_GAIN), (replace(free, zoom=True), ZOOM_GAIN)):
        if one == free or (one.zoom and not (free.zoom or may_zoom)):
            continue
        trial = adjust_bundle(plain, progress, one, loss, 20)
        focal_sigma, k1_sigma = lens_sigma(trial, one, loss)
        if one.zoom:
            sure = np.ptp(np.log(trial.lens.fx)) > ZOOM_SIGMAS * focal_sigma
        else:
            sure = abs(trial.lens.k1) > K1_SIGMAS * k1_sigma
        if sure and trial.cost < (1 - gain) * plain.cost and trial.cost < best.cost:
            best, chosen = trial, one
    sigma = focal_deviation(best, chosen, loss)
    if from_model and not chosen.zoom:
        factor = model_focal / float(best.lens.fx[0])
        lens = replace(best.lens, fx=best.lens.fx * factor, fy=best.lens.fy * factor)
        given = adjust_bundle(replace(best, lens=lens), progress, replace(chosen, focal=False), loss, 30)
        progress.log(f"refinement: cost {given.cost:.4f} at the model's {model_focal:.1f} px, {best.cost:.4f} free")
        if given.cost < (1 + MODEL_FOCAL_GAIN) * best.cost:
            best, sigma = given, MODEL_FOCAL_SIGMA
    progress.log(
        f"refinement: focal {best.lens.fx.min():.1f} to {best.lens.fx.max():.1f} px +- {100 * sigma:.2f} %, "
        f"k1 {best.lens.k1:+.4f}"
    )
    return best, chosen, sigma


def typical_error(points, tracks: Tracks, c2w, lens) -> float:
    """Median reprojection error in pixels of the observations that have a point."""
    t, f = tracks.track, tracks.frame
    error = reprojection_errors(points, t, f, tracks.xy, c2w, lens)[np.isfinite(points[t, 0])]
    return float(np.median(error)) if len(error) else np.inf


def agreeing(tracks: Tracks, points, error, c2w, picked, limit_px: float, z) -> np.ndarray:
    """Rows that take part: of ``picked`` tracks that agree in most of their frames and are pinned down."""
    t = tracks.track
    good = picked & (error < limit_px)
    seen = np.bincount(t, minlength=len(tracks))
    kept = np.bincount(t[good], minlength=len(tracks))
    pinned = np.nan_to_num(triangulation_angles(points, t, tracks.frame, c2w)) > MIN_ANGLE_DEG
    if z is not None:
        pinned |= np.bincount(t, np.isfinite(z), minlength=len(tracks)) > 0
    fine = (kept >= 3) & (kept >= 0.7 * seen) & pinned & np.isfinite(points[:, 0])
    return np.flatnonzero(good & fine[t])
