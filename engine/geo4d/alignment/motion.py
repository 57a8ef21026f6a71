"""Whether the camera travels, only turns, or stands still, as far as the predictions can tell.

Windows that hold the same frame disagree on its camera by some pixels. A camera path that moves the picture by no
more than that, and fits as well when it is held, is held: a wrong tremble is worse than none.
"""

from dataclasses import dataclass

import numpy as np

from ..geometry.rotation import mean_rotation, rotations_from_vectors, vectors_from_rotations
from ..matchmove.solve import Motion
from .adjustment import Freedom, Options, adjust
from .registration import LocalCameras, World
from .resection import camera_points, moved, pose_jacobian
from .residuals import Spreads, deviations, window_depths
from .samples import Samples
from .smoothing import smooth_path

_FLOOR = 4e-4  # of the longer side: a picture that moves less stands still (half a pixel of 1280)
_CEILING = 1e-2  # no predictions are bad enough to hold a camera that moves the picture by more
_WITHIN = 3.0  # times the disagreement of windows
_WORSE = 1.1  # growth of the residuals that a held camera may cost
_POINTS = 150
FREEDOM: dict[Motion, Freedom] = {"moving": "pose", "tripod": "rotation", "static": "none"}


@dataclass
class Excursion:
    """How far the picture moves, in units of the longer side."""

    whole: float  # by the camera's path
    parallax: float  # by its travel alone, no turn making up for it
    doubt: float  # by which windows disagree on a frame's camera; without two of them, it and its neighbours
    parallax_doubt: float


def recognise(
    samples: Samples, world: World, local: LocalCameras, spreads: Spreads, options: Options
) -> tuple[Motion, World, Spreads, Excursion]:
    """The camera's motion, and the world adjusted again with what it does not do held."""
    seen = excursion(samples, world, spreads)
    chain = np.sqrt(1 + world.ok.sum() / 8)  # errors of windows placed on one another add up like steps of a walk
    for motion, path, doubt in (
        ("static", seen.whole, seen.doubt),
        ("tripod", seen.parallax, seen.parallax_doubt),
    ):
        if path < min(max(_FLOOR, _WITHIN * doubt * chain), _CEILING):
            held, held_spreads = hold(samples, world, local, motion, options)
            # What windows disagree by turns into residuals where no camera follows it.
            lateral = np.hypot(_WORSE * spreads.lateral, doubt / np.median(world.focal))
            if held_spreads.lateral < lateral and held_spreads.depth < _WORSE * spreads.depth + 1e-3:
                return motion, held, held_spreads, seen
    return "moving", world, spreads, seen


def hold(
    samples: Samples, world: World, local: LocalCameras, motion: Motion, options: Options
) -> tuple[World, Spreads]:
    """The world with a camera that keeps its place (``tripod``) or its pose (``static``), adjusted."""
    world = world.copy()
    posed = np.flatnonzero(world.posed)
    world.c[:] = np.median(world.c[posed], axis=0)
    if motion == "static":
        world.R[:] = mean_rotation(world.R[posed])
    for g in np.flatnonzero(world.ok):
        f, m = samples.frames[g], samples.slots[g]
        turn = world.R[f] @ np.swapaxes(local.R[f, m], 1, 2)
        world.rotation[g] = mean_rotation(turn)
        centre = np.median(local.c[f, m], axis=0)
        world.shift[g] = world.c[0] - world.scale[g] * world.rotation[g] @ centre
    held = Options(FREEDOM[motion], options.focal_known, options.zoom)
    return adjust(samples, world, held)


def excursion(samples: Samples, world: World, spreads: Spreads) -> Excursion:
    """How far the path, less its tremble, and the windows' disagreement move the picture."""
    posed = np.flatnonzero(world.posed)
    rays, depth = _points(samples, world, posed)
    path = world.copy()
    smooth_path(samples, path, spreads)
    R, c = path.R[posed], path.c[posed]
    R0, c0 = mean_rotation(R), np.median(c, axis=0)
    whole = _displacement(rays, depth, R, c, R0[None], c0[None])
    parallax = _parallax(rays, depth, R, c, c0[None])
    move, there = deviations(samples, world, spreads)
    focal = float(np.median(world.focal[posed]))
    size = focal * float(np.percentile(whole, 95)), focal * float(np.percentile(parallax, 95))
    if not (there.sum(1) > 1).any():
        return Excursion(*size, *(focal * doubt for doubt in _unsteadiness(rays, depth, world, posed)))
    doubts, parallax_doubts = [np.zeros(1)], [np.zeros(1)]
    for m in range(samples.window.shape[1]):
        use = there[posed, m]
        f = posed[use]
        if len(f):
            R, c = moved(world.R[f], world.c[f], -move[f, m])
            doubts.append(_displacement(rays[use], depth[use], world.R[f], world.c[f], R, c))
            parallax_doubts.append(_parallax(rays[use], depth[use], world.R[f], world.c[f], c))
    return Excursion(
        *size,
        focal * float(np.median(np.concatenate(doubts))),
        focal * float(np.median(np.concatenate(parallax_doubts))),
    )


def _unsteadiness(rays, depth, world: World, posed: np.ndarray) -> tuple[float, float]:
    """How far cameras are off the middle of those before and after, in slopes: by turn and shift, and by parallax.

    Where each frame lies in one window alone, this is all that tells errors from travel: errors of frames have
    nothing to do with one another, and a camera that travels gets farther than from one frame to the next.
    """
    middle = np.flatnonzero((np.diff(posed)[1:] == 1) & (np.diff(posed)[:-1] == 1)) + 1
    if not len(middle):
        return 0.0, 0.0
    f = posed[middle]
    half = rotations_from_vectors(0.5 * vectors_from_rotations(np.swapaxes(world.R[f - 1], 1, 2) @ world.R[f + 1]))
    R, c = world.R[f - 1] @ half, 0.5 * (world.c[f - 1] + world.c[f + 1])
    rays, depth = rays[middle], depth[middle]
    off = _displacement(rays, depth, world.R[f], world.c[f], R, c), _parallax(rays, depth, world.R[f], world.c[f], c)
    return tuple(float(np.median(values)) / np.sqrt(1.5) for values in off)


def _points(samples: Samples, world: World, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rays (f, n, 3) with z = 1 and depth (f, n), 0 = none, of some pixels of each frame."""
    some = np.linspace(0, len(samples.xy) - 1, min(_POINTS, len(samples.xy))).astype(int)
    depth = np.zeros((len(frames), len(some)), dtype=np.float32)
    for m in range(samples.window.shape[1]):
        g = samples.window[frames, m]
        use = np.flatnonzero((g >= 0) & world.ok[np.maximum(g, 0)])
        if len(use):
            z, w = window_depths(samples, world, frames[use], np.full(len(use), m))
            here = np.where(w > 0, z, 0)[:, some]
            depth[use] = np.where(depth[use] > 0, depth[use], here)
    xy = samples.xy[some] / world.focal[frames][:, None, None]
    return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1).astype(np.float32), depth


def _displacement(rays, depth, R, c, R0, c0) -> np.ndarray:
    """Median distance (f,) in slopes between where cameras (R, c) and (R0, c0) see the points of the former."""
    X = (rays * depth[..., None]) @ np.swapaxes(R, 1, 2) + c[:, None]
    Y = camera_points(X, np.broadcast_to(R0, R.shape), np.broadcast_to(c0, c.shape))
    return _median_length(Y[..., :2] / np.maximum(Y[..., 2:], 1e-3) - rays[..., :2], depth)


def _parallax(rays, depth, R, c, c0) -> np.ndarray:
    """The same for a shift of the camera alone, less the turn that makes up for it best."""
    shift = (np.swapaxes(R, 1, 2) @ (c - c0)[..., None])[..., 0]
    z = np.where(depth > 0, depth, 1.0)
    p = rays[..., :2]
    J = pose_jacobian(p.astype(np.float64), z.astype(np.float64))
    J = np.where((depth > 0)[:, None, :, None], J, 0.0).reshape(len(p), -1, 6)
    flow = (J[..., 3:] @ shift[..., None])[..., 0]
    turn = J[..., :3]
    normal = np.swapaxes(turn, 1, 2) @ turn + 1e-9 * np.eye(3)
    made_up = (turn @ np.linalg.solve(normal, np.swapaxes(turn, 1, 2) @ flow[..., None]))[..., 0]
    return _median_length(np.moveaxis((flow - made_up).reshape(len(p), 2, -1), 1, 2), depth)


def _median_length(d: np.ndarray, depth: np.ndarray) -> np.ndarray:
    length = np.where(depth > 0, np.sqrt((d * d).sum(-1)), np.nan)
    empty = ~(depth > 0).any(1)
    length[empty] = 0.0
    return np.nanmedian(length, axis=1)
