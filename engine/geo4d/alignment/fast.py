"""Fast alignment, the default: closed forms and second-order steps on few pixels, linear in the number of windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import SolveError
from ..geometry.rotation import quaternions, rotation_matrices, slerp
from ..matchmove.gravity import estimate_up
from ..matchmove.solve import POSE_HELD, POSE_INTERPOLATED, POSE_SOLVED, Motion, Solve
from ..models.prediction import Prediction
from ..progress import Progress
from .adjustment import Options, adjust
from .aligned import Aligned
from .disparity import fit_disparity
from .dynamic import find_dynamic
from .evidence import Picture
from .fusion import Maps, fuse
from .loops import close_loops
from .motion import hold, recognise
from .registration import World, chain, first_focal, judge, local_cameras, register_pairs
from .residuals import window_depths
from .samples import Samples, collect
from .smoothing import smooth_path

_POINTS = 4000  # static ones handed on
_ASKEW = 0.05  # slope by which points are off their rays from which they are no shapes
_UNRELIABLE = 0.3  # windows whose shared pixels agree to less than this share say nothing


@dataclass(frozen=True)
class AlignmentSettings:
    """What a user may know of the shot.

    focal_px : focal length in footage pixels; None = solved for.
    zoom : the focal length changes during the shot, smoothly.
    motion : how the camera moves; None = found out.
    """

    focal_px: float | None = None
    zoom: bool = False
    motion: Literal["moving", "tripod", "static"] | None = None


def align(
    predictions: Sequence[Prediction],
    frame_count: int,
    footage_size: tuple[int, int],
    progress: Progress,
    settings: AlignmentSettings = AlignmentSettings(),
) -> Aligned:
    """One world from overlapping windows that together cover frames 0..``frame_count``-1.

    Parameters
    ----------
    predictions : windows in order of time; an item may be read from disk each time it is asked for.
    footage_size : (width, height) in pixels, square.

    Raises
    ------
    SolveError ``alignment_failed`` : not one window holds a usable shape or camera.
    """
    picture = Picture(*footage_size)
    known = None if settings.focal_px is None else settings.focal_px / picture.longer
    _require(len(predictions) > 0 and frame_count > 0, len(predictions))
    samples = collect(predictions, frame_count, picture, known, progress, settings.zoom)
    _require((samples.weight > 0).any(), len(predictions))
    first, observed = first_focal(samples, known)
    local = local_cameras(samples, first, progress)
    pairs = register_pairs(samples, local)
    ok = judge(samples, local, pairs)
    # Where no two windows that take part overlap, those that failed tell what the rest is worth.
    agreement = [p.agreement for p in pairs if ok[p.a] and ok[p.b]] or [p.agreement for p in pairs]
    world, loose = chain(samples, local, pairs, ok, first)
    options = Options(focal_known=known is not None or not observed, zoom=settings.zoom)
    world, spreads = adjust(samples, world, options)
    if settings.motion is None:
        motion, world, spreads, _ = recognise(samples, world, local, spreads, options)
    else:
        motion = settings.motion
        if motion != "moving":
            world, spreads = hold(samples, world, local, motion, options)
    loops = 0
    if motion == "moving":
        world, loops = close_loops(samples, world, spreads)
    normalise(samples, world)
    interpolate(world)
    smoothed = {} if motion == "static" else smooth_path(samples, world, spreads, places=motion == "moving")
    fits = fit_disparity(samples, world, spreads.depth)
    maps = fuse(predictions, samples, world, spreads, fits, progress)
    aspect = (picture.width / picture.longer, picture.height / picture.longer)
    seen_through = find_dynamic(maps.depth, maps.confidence, world, aspect, spreads.depth, progress)
    dynamic = 1 - (1 - maps.dynamic) * (1 - seen_through)
    statistics = {
        "windows": len(predictions),
        "windows_failed": [int(g) for g in np.flatnonzero(~world.ok)],
        "windows_loose": loose,
        "window_agreement": round(float(np.median(agreement)), 4) if agreement else None,
        "ray_error_px": round(float(spreads.lateral * np.median(world.focal) * picture.longer), 3),
        "depth_disagreement": round(spreads.depth, 5) if agreement else None,
        "frames_interpolated": int((~world.posed).sum()),
        "focal_assumed": not observed,
        "loops": loops,
        **{name: round(value, 5) for name, value in smoothed.items()},
    }
    warn(statistics, spreads.lateral, world, progress)
    solve = make_solve(samples, world, motion, picture, maps, dynamic, statistics)
    return Aligned(
        solve, samples.width, samples.height, maps.depth, maps.confidence, dynamic, world.ok, dict(statistics)
    )


def _require(usable: bool, count: int) -> None:
    if not usable:
        raise SolveError(
            "alignment_failed",
            f"None of the {count} windows holds a usable shape.",
            "The model's weights may be damaged, or its numbers overflow; try another precision.",
        )


def warn(statistics: dict, lateral: float, world: World, progress: Progress) -> None:
    failed, agreement = statistics["windows_failed"], statistics["window_agreement"]
    if failed:
        progress.warn(
            "windows_failed",
            f"{len(failed)} of {statistics['windows']} windows contradict the others and were left out: "
            f"{', '.join(str(g) for g in failed[:20])}.",
            "Frames that only they cover have an interpolated camera and no depth.",
        )
    if statistics["frames_interpolated"]:
        progress.warn(
            "frames_interpolated",
            f"{statistics['frames_interpolated']} of {len(world.posed)} frames are in no usable window: "
            f"{_ranges(np.flatnonzero(~world.posed))}.",
            "Their camera is interpolated from the frames around, and they have no depth.",
        )
    if statistics["focal_assumed"]:
        progress.warn(
            "focal_assumed",
            "No window tells the focal length; that of a usual lens is assumed.",
            "Enter the focal length, or sensor and lens, if you know them.",
        )
    if statistics["windows_loose"]:
        progress.warn(
            "alignment_gap",
            f"Windows {', '.join(str(g) for g in statistics['windows_loose'])} share no frame with those before them; "
            "where they lie, and how large, is a guess.",
            "Overlap the windows more, or reconstruct both sides of the gap on their own.",
        )
    if lateral > _ASKEW or (agreement is not None and agreement < _UNRELIABLE):
        share = "" if agreement is None else f", and overlapping windows agree on {100 * agreement:.0f} % of the pixels"
        progress.warn(
            "alignment_unreliable",
            f"The predicted shapes are off the rays of any camera by {statistics['ray_error_px']:.1f} px{share}.",
            "The model does not understand this shot; try another engine or range.",
        )


def _ranges(frames: np.ndarray, most: int = 8) -> str:
    """Numbers as ranges: 3, 7-12."""
    parts = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    said = [f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts]
    return ", ".join(said[:most]) + (" and others" if len(said) > most else "")


def interpolate(world: World) -> None:
    """Cameras of frames without any window, from their neighbours in time."""
    posed = np.flatnonzero(world.posed)
    missing = np.flatnonzero(~world.posed)
    if not len(missing):
        return
    q = quaternions(world.R[posed])
    after = np.clip(np.searchsorted(posed, missing), 0, len(posed) - 1)
    before = np.clip(after - 1, 0, len(posed) - 1)
    before = np.where(posed[after] < missing, after, before)
    for frame, i, j in zip(missing, before, after, strict=True):
        gap = posed[j] - posed[i]
        share = np.clip((frame - posed[i]) / gap, 0, 1) if gap > 0 else 0.0
        world.R[frame] = rotation_matrices(slerp(q[i], q[j], np.array([share])))[0]
        world.c[frame] = (1 - share) * world.c[posed[i]] + share * world.c[posed[j]]
        world.focal[frame] = (1 - share) * world.focal[posed[i]] + share * world.focal[posed[j]]


def normalise(samples: Samples, world: World) -> None:
    """The first camera at the origin, median depth 1."""
    depths = []
    for g in np.flatnonzero(world.ok):
        z, w = window_depths(samples, world, samples.frames[g], samples.slots[g])
        depths.append(z[w > 0][::7])
    depths = np.concatenate(depths)
    size = 1.0 / float(np.median(depths)) if len(depths) else 1.0
    first = int(np.argmax(world.posed))
    R, c = world.R[first].T.copy(), world.c[first].copy()
    world.c = size * (world.c - c) @ R.T
    world.R = R @ world.R
    world.shift = size * (world.shift - c) @ R.T
    world.rotation = R @ world.rotation
    world.scale = size * world.scale


def make_solve(
    samples: Samples,
    world: World,
    motion: Motion,
    picture: Picture,
    maps: Maps,
    dynamic: np.ndarray,
    statistics: dict,
) -> Solve:
    F = len(samples)
    c2w = np.tile(np.eye(4), (F, 1, 1))
    c2w[:, :3, :3], c2w[:, :3, 3] = world.R, world.c
    source = np.where(world.posed, POSE_HELD if motion == "static" else POSE_SOLVED, POSE_INTERPOLATED)
    points = static_points(world, picture, maps, dynamic)
    focal = world.focal * picture.longer
    return Solve(
        width=picture.width,
        height=picture.height,
        motion=motion,
        c2w=c2w,
        fx=focal.copy(),
        fy=focal.copy(),
        cx=np.full(F, picture.width / 2),
        cy=np.full(F, picture.height / 2),
        k1=0.0,
        pose_source=source.astype(np.uint8),
        reprojection_error_px=np.full(F, np.nan, dtype=np.float32),
        points=points,
        points_rgb=np.full((len(points), 3), 128, dtype=np.uint8),
        points_error_px=np.zeros(len(points), dtype=np.float32),
        up=estimate_up(c2w, points if motion == "moving" else np.zeros((0, 3))),
        statistics=dict(statistics),
    )


def static_points(world: World, picture: Picture, maps: Maps, dynamic: np.ndarray, seed: int = 0) -> np.ndarray:
    """Up to a few thousand confident static points (P, 3), spread over frames and pixels."""
    F, h, w = maps.depth.shape
    rng = np.random.default_rng(seed)
    f, y, x = (rng.integers(0, n, 6 * _POINTS) for n in (F, h, w))
    depth, confidence = maps.depth[f, y, x].astype(np.float64), maps.confidence[f, y, x].astype(np.float64)
    fit = (depth > 0) & (confidence > 0) & (dynamic[f, y, x] < 0.3)
    order = np.flatnonzero(fit)[np.argsort(-confidence[fit], kind="stable")][:_POINTS]
    f, y, x, depth = f[order], y[order], x[order], depth[order]
    xy = picture.positions(y, x, h, w) / world.focal[f][:, None]
    local = np.concatenate([xy, np.ones((len(xy), 1))], axis=1) * depth[:, None]
    return (world.R[f] @ local[..., None])[..., 0] + world.c[f]
