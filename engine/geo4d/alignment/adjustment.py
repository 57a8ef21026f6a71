"""Cameras, lens and window similarities at once: Levenberg-Marquardt on the pixels of the grid.

Two kinds of residual, both free of units and of the world's scale. *Lateral*: a window's point, seen by the frame's
camera, off its pixel. *Depth*: the logarithm of its depth off that of the same pixel in the other windows; the
pixel's own depth is eliminated in closed form. Both are divided by their own spread, found from the data.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..geometry.rotation import rotations_from_vectors
from .banded import Banded
from .registration import TYPICAL_FOCAL, World
from .resection import moved, pose_jacobian
from .samples import Samples

Freedom = Literal["pose", "rotation", "none"]

_WIDTH = 2.0  # of the Cauchy loss, in spreads
_LEAST_LATERAL, _LEAST_DEPTH = 2e-5, 1e-4  # spreads below these are rounding
USUAL_DEPTH_SPREAD = 0.02  # of log depth, where only one window says anything
_CHUNK = 24  # frames at a time
_LEAST_PIXELS = 30  # of a window, to say anything of a camera on its own
# Errors of neighbouring pixels are alike: so many equations of pixels count as one against what is known beforehand.
_ALIKE = 50.0
_FOCAL_DOUBT = 0.4  # of the logarithm of the typical focal length
_ZOOM_STEP = 0.01  # usual change of the logarithm of the focal length between two frames of a zoom
_DEPTH_COLUMNS = [0, 1, 2, 6]  # of a window's parameters about the camera: scale, two turns, nearer or farther


@dataclass
class Spreads:
    """Robust standard deviations of the residuals."""

    lateral: float  # of slopes
    depth: float  # of log depth


@dataclass
class Options:
    freedom: Freedom = "pose"
    focal_known: bool = False
    zoom: bool = False


@dataclass
class Residuals:
    """What a state looks like: made by :func:`evaluate`."""

    cost: float = 0.0
    system: Banded | None = None
    lateral: list = field(default_factory=list)
    depth: list = field(default_factory=list)


def adjust(samples: Samples, world: World, options: Options, rounds: int = 4, steps: int = 3) -> tuple[World, Spreads]:
    """The adjusted world and the spreads of its residuals. Windows that are not ``ok`` are left out."""
    layout = _Layout(samples, world, options)
    spreads = measure(samples, world)
    damping = 1e-4
    for _ in range(rounds):
        state = evaluate(samples, world, spreads, options, layout)
        before_round = state.cost
        for _ in range(steps):
            step, common = state.system.solve(damping)
            trial = layout.apply(world, step, common)
            tried = evaluate(samples, trial, spreads, options, layout)
            if tried.cost < state.cost:
                gain = (state.cost - tried.cost) / max(state.cost, 1e-12)
                world, state, damping = trial, tried, max(damping * 0.1, 1e-7)
                if gain < 1e-5:
                    break
            else:
                damping *= 20
        spreads = measure(samples, world)
        if before_round - state.cost < 1e-4 * before_round:
            break
    return world, spreads


def measure(samples: Samples, world: World) -> Spreads:
    """Spreads of both residuals in a state."""
    lateral, depth = [], []
    for chunk in _chunks(samples, world):
        off = np.sqrt((chunk.e**2).sum(-1))[chunk.w > 0]
        lateral.append(off[:: max(1, len(off) // 20_000)])
        r = chunk.r[(chunk.w > 0) & (chunk.partners > 1)[:, None]]
        depth.append(np.abs(r[:: max(1, len(r) // 20_000)]))
    lateral, depth = np.concatenate(lateral or [np.zeros(0)]), np.concatenate(depth or [np.zeros(0)])
    # Median length of a 2D normal vector is 1.18 sigma; of a 1D one 0.67.
    s_l = float(np.median(lateral)) / 1.18 if len(lateral) else 1.0
    s_d = float(np.median(depth)) / 0.67 if len(depth) else USUAL_DEPTH_SPREAD
    return Spreads(max(s_l, _LEAST_LATERAL), max(s_d, _LEAST_DEPTH))


@dataclass
class _Chunk:
    """Residuals of f frames in M windows, N pixels each."""

    frames: np.ndarray  # (f,)
    e: np.ndarray  # (f, M, N, 2) slopes off the pixel
    r: np.ndarray  # (f, M, N) log depth off the pixel's
    p: np.ndarray  # (f, M, N, 2) slopes
    z: np.ndarray  # (f, M, N)
    w: np.ndarray  # (f, M, N) confidence, 0 = has no say
    partners: np.ndarray  # (f, N) windows with a say


def _chunks(samples: Samples, world: World, spreads: Spreads | None = None):
    used = np.where(samples.window >= 0, world.ok[samples.window], False)
    for start in range(0, len(samples), _CHUNK):
        frames = np.arange(start, min(start + _CHUNK, len(samples)))
        frames = frames[used[frames].any(1)]
        if not len(frames):
            continue
        g = np.maximum(samples.window[frames], 0)
        w2c = np.swapaxes(world.R[frames], 1, 2)[:, None]
        A = world.scale[g][..., None, None] * (w2c @ world.rotation[g])
        b = (w2c @ (world.shift[g] - world.c[frames][:, None])[..., None])[..., 0]
        Y = samples.points[frames] @ np.swapaxes(A, -1, -2).astype(np.float32)
        Y += b[..., None, :].astype(np.float32)
        w = samples.weight[frames] * used[frames][..., None]
        ahead = (Y[..., 2] > 1e-3) & (w > 0)  # the world's median depth is 1
        w = np.where(ahead, w, np.float32(0.0))
        z = np.where(ahead, Y[..., 2], np.float32(1.0))
        p = np.where(ahead[..., None], Y[..., :2] / z[..., None], np.float32(0.0))
        rays = samples.xy / world.focal[frames][:, None, None, None].astype(np.float32)
        e = np.where(ahead[..., None], p - rays, np.float32(0.0))
        r, partners = _off_the_middle(np.log(z), w, None if spreads is None else spreads.depth)
        yield _Chunk(frames, e, r, p, z, w, partners)


def _off_the_middle(log_z: np.ndarray, w: np.ndarray, spread: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Log depths (f, M, N) off their robust mean over windows, and how many (f, N) have a say."""
    said = w > 0
    partners = said.sum(1)
    order = np.sort(np.where(said, log_z, np.float32(np.inf)), axis=1)
    low = np.take_along_axis(order, (np.maximum(partners - 1, 0) // 2)[:, None], axis=1)
    high = np.take_along_axis(order, (partners // 2)[:, None], axis=1)
    high = np.where(np.isfinite(high), high, low)
    middle = np.where(np.isfinite(low), 0.5 * (low + high), 0.0)
    if spread is not None:
        for _ in range(2):
            v = w / (1 + ((log_z - middle) / (_WIDTH * spread)) ** 2)
            total = v.sum(1, keepdims=True)
            middle = np.where(total > 0, (v * log_z).sum(1, keepdims=True) / np.maximum(total, 1e-12), middle)
    return np.where(said, log_z - middle, np.float32(0.0)), partners


class _Layout:
    """Which unknown stands where: blocks of consecutive frames with the windows that begin in them."""

    def __init__(self, samples: Samples, world: World, options: Options):
        self.options = options
        self.pose = {"pose": 6, "rotation": 3, "none": 0}[options.freedom]
        self.per_frame = self.pose + (1 if options.zoom and not options.focal_known else 0)
        self.common = 0 if options.zoom or options.focal_known else 1
        spans = [int(np.ptp(f)) + 1 for f in samples.frames if len(f)]
        self.span = max([2, *spans])
        F, count = len(samples), len(samples.frames)
        first = np.array([int(f.min()) if len(f) else 0 for f in samples.frames], dtype=np.int64)
        self.window_block = first // self.span
        order = np.zeros(count, dtype=np.int64)
        seen: dict[int, int] = {}
        for g in np.flatnonzero(world.ok):
            order[g] = seen.get(int(self.window_block[g]), 0)
            seen[int(self.window_block[g])] = int(order[g]) + 1
        self.frame_block, frame_place = np.divmod(np.arange(F), self.span)
        self.blocks = int(self.frame_block[-1]) + 1
        self.size = self.span * self.per_frame + 7 * max(seen.values(), default=0)
        self.frame_index = frame_place[:, None] * self.per_frame + np.arange(self.per_frame)
        self.window_index = self.span * self.per_frame + order[:, None] * 7 + np.arange(7)
        self.ok = world.ok
        # Centre of turns and scalings of each window: where its cameras stand.
        self.holders = samples.frames

    def centres(self, world: World) -> np.ndarray:
        return np.array([world.c[f].mean(0) if len(f) else np.zeros(3) for f in self.holders])

    def system(self) -> Banded:
        return Banded.zeros(self.blocks, self.size, self.common)

    def apply(self, world: World, step: np.ndarray, common: np.ndarray) -> World:
        """The world moved by the solution of the normal equations (a descent step)."""
        new = world.copy()
        frames = np.flatnonzero(world.posed)
        x = -step[self.frame_block[frames][:, None], self.frame_index[frames]]
        if self.pose:
            move = np.zeros((len(frames), 6))
            move[:, : self.pose] = x[:, : self.pose]
            move[:, :3] *= np.minimum(1, 0.3 / np.maximum(np.linalg.norm(move[:, :3], axis=1), 1e-12))[:, None]
            R, c = moved(world.R[frames], world.c[frames], move)
            new.R[frames] = R
            if self.pose == 6:
                new.c[frames] = c
        if self.common:
            new.focal = world.focal * np.exp(np.clip(-common[0], -0.3, 0.3))
        elif self.per_frame > self.pose:
            new.focal[frames] = world.focal[frames] * np.exp(np.clip(x[:, -1], -0.3, 0.3))
        g = np.flatnonzero(self.ok)
        y = -step[self.window_block[g][:, None], self.window_index[g]]
        grow = np.exp(np.clip(y[:, 0], -0.5, 0.5))
        turn = rotations_from_vectors(y[:, 1:4])
        o = self.centres(world)[g]
        new.scale[g] = world.scale[g] * grow
        new.rotation[g] = turn @ world.rotation[g]
        away = (turn @ (world.shift[g] - o)[..., None])[..., 0]
        new.shift[g] = grow[:, None] * away + o + y[:, 4:]
        return new


def evaluate(samples: Samples, world: World, spreads: Spreads, options: Options, layout: _Layout) -> Residuals:
    """Robust cost and normal equations of a state."""
    system, cost = layout.system(), 0.0
    centres = layout.centres(world)
    k_l, k_d = _WIDTH * spreads.lateral, _WIDTH * spreads.depth
    for chunk in _chunks(samples, world, spreads):
        frames, f, M = chunk.frames, len(chunk.frames), chunk.w.shape[1]
        off2 = (chunk.e**2).sum(-1) / k_l**2
        cost += 2 * float((chunk.w * np.log1p(off2)).sum(dtype=np.float64))
        w_l = chunk.w / (1 + off2) / np.float32(spreads.lateral**2)
        shared = np.where((chunk.partners > 1)[:, None], chunk.w, np.float32(0.0))
        deep2 = (chunk.r / k_d) ** 2
        cost += 2 * float((shared * np.log1p(deep2)).sum(dtype=np.float64))
        w_d = shared / (1 + deep2) / np.float32(spreads.depth**2)
        A, a = _lateral(chunk, w_l, samples.xy, world.focal[frames])
        B, b = _deep(chunk, w_d)
        g = np.maximum(samples.window[frames], 0)
        about = _about_camera(world, frames, centres[g])  # (f, M, 7, 7)
        _assemble(system, layout, frames, g, samples.window[frames] >= 0, A, a, B, b, about, f, M)
    cost += _known_beforehand(system, world, layout)
    return Residuals(cost, system)


def deviations(samples: Samples, world: World, spreads: Spreads) -> tuple[np.ndarray, np.ndarray]:
    """How each window alone would turn and shift each frame's camera: (F, M, 6) as for ``moved``, and (F, M) bool.

    One step from the common solution, with the pixels weighted as there.
    """
    F, M = samples.window.shape
    move, there = np.zeros((F, M, 6)), np.zeros((F, M), dtype=bool)
    for chunk in _chunks(samples, world):
        off2 = (chunk.e**2).sum(-1) / (_WIDTH * spreads.lateral) ** 2
        A, a = _lateral(chunk, chunk.w / (1 + off2), samples.xy, world.focal[chunk.frames])
        A, a = A[..., :6, :6], a[..., :6]
        some = (chunk.w > 0).sum(-1) >= _LEAST_PIXELS
        size = np.maximum(np.trace(A, axis1=-2, axis2=-1), 1e-12)[..., None, None]
        step = -np.linalg.solve(A + 1e-9 * size * np.eye(6), a[..., None])[..., 0]
        some &= np.isfinite(step).all(-1) & (np.abs(step).max(-1) < 1)
        move[chunk.frames], there[chunk.frames] = np.where(some[..., None], step, 0.0), some
    return move, there


def _lateral(chunk: _Chunk, w: np.ndarray, xy: np.ndarray, focal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(f, M, 7, 7) and (f, M, 7) of the lateral residuals by pose and log focal length of the camera."""
    f, M, N = w.shape
    J = np.empty((f, M, 2, N, 7), dtype=np.float32)
    J[..., :6] = pose_jacobian(chunk.p, chunk.z)
    J[..., 6] = xy.T / focal[:, None, None, None].astype(np.float32)
    J = J.reshape(f, M, 2 * N, 7)
    Jw = J * np.concatenate([w, w], axis=2)[..., None]
    e = np.moveaxis(chunk.e, -1, 2).reshape(f, M, 2 * N, 1)
    Jt = np.swapaxes(Jw, 2, 3)
    return (Jt @ J).astype(np.float64), (Jt @ e)[..., 0].astype(np.float64)


def _deep(chunk: _Chunk, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(f, M, 4, M, 4) and (f, M, 4) of the depth residuals by the windows' parameters, pixel depths eliminated."""
    f, M, N = w.shape
    V = np.empty((f, M, N, 4), dtype=np.float32)
    V[..., 0], V[..., 1], V[..., 2], V[..., 3] = 1.0, chunk.p[..., 1], -chunk.p[..., 0], 1.0 / chunk.z
    wV = V * w[..., None]
    own = (np.swapaxes(V, 2, 3) @ wV).astype(np.float64)
    right = (np.swapaxes(wV, 2, 3) @ chunk.r[..., None])[..., 0].astype(np.float64)
    total = np.sqrt(np.maximum(w.sum(1), 1e-12))
    K = np.moveaxis(wV / total[:, None, :, None], 1, 2).reshape(f, N, M * 4)
    cross = -(np.swapaxes(K, 1, 2) @ K).astype(np.float64).reshape(f, M, 4, M, 4)
    slots = np.arange(M)
    cross[:, slots, :, slots, :] += np.moveaxis(own, 1, 0)
    return cross, right


def _about_camera(world: World, frames: np.ndarray, o: np.ndarray) -> np.ndarray:
    """(f, M, 7, 7): a window's parameters about its own centre ``o`` (f, M, 3), in world axes, to those about the
    frame's camera in camera axes."""
    f, M = o.shape[:2]
    w2c = np.swapaxes(world.R[frames], 1, 2)[:, None]
    arm = world.c[frames][:, None] - o
    B = np.zeros((f, M, 7, 7))
    B[..., 0, 0] = 1.0
    B[..., 1:4, 1:4] = w2c
    B[..., 4:, 4:] = w2c
    B[..., 4:, 0] = (w2c @ arm[..., None])[..., 0]
    x, y, z = np.moveaxis(arm, -1, 0)
    zero = np.zeros_like(x)
    across = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(f, M, 3, 3)
    B[..., 4:, 1:4] = -(w2c @ across)
    return B


def _assemble(system, layout, frames, g, there, A, a, B, b, about, f, M) -> None:
    pose, per_frame, common = layout.pose, layout.per_frame, layout.common
    fb, fi = layout.frame_block[frames], layout.frame_index[frames]
    wb, wi = layout.window_block[g], layout.window_index[g]
    there = there & layout.ok[g]
    A, a = np.where(there[..., None, None], A, 0.0), np.where(there[..., None], a, 0.0)
    columns = [*range(pose), *([6] if per_frame > pose else [])]
    if per_frame:
        total = A.sum(1)
        system.add(fb, fi, fb, fi, total[:, columns][:, :, columns])
        np.add.at(system.right, (fb[:, None], fi), a.sum(1)[:, columns])
        if common:
            np.add.at(system.border, (fb[:, None], fi), total[:, columns, 6:7])
    if common:
        system.corner += A[..., 6:7, 6:7].sum((0, 1))
        system.right_corner += a[..., 6].sum()
    # Windows: turning or shifting one about the camera acts like turning the camera; scaling it does nothing sideways.
    own = np.zeros((f, M, 7, 7))
    own[..., 1:, 1:] = A[..., :6, :6]
    side = np.zeros((f, M, 7))
    side[..., 1:] = a[..., :6]
    wide = np.zeros((f, M, 7, M, 7))
    pick = np.array(_DEPTH_COLUMNS)
    wide[:, :, pick[:, None, None], np.arange(M)[:, None], pick] = B
    side[:, :, pick] += b
    slots = np.arange(M)
    wide[:, slots, :, slots, :] += np.moveaxis(own, 1, 0)
    back = np.swapaxes(about, 2, 3)
    side = (back @ side[..., None])[..., 0]
    k = np.flatnonzero(there.ravel())
    np.add.at(system.right, (wb.ravel()[k][:, None], wi.reshape(-1, 7)[k]), side.reshape(-1, 7)[k])
    for i in range(M):
        for j in range(M):
            both = np.flatnonzero(there[:, i] & there[:, j])
            if len(both):
                block = back[both, i] @ wide[both, i, :, j, :] @ about[both, j]
                system.add(wb[both, i], wi[both, i], wb[both, j], wi[both, j], block)
        rows = np.flatnonzero(there[:, i])
        if not len(rows):
            continue
        if per_frame:
            part = np.zeros((len(rows), per_frame, 7))
            part[:, :, 1:] = A[rows, i][:, columns, :6]
            part = part @ about[rows, i]
            system.add(fb[rows], fi[rows], wb[rows, i], wi[rows, i], part)
            system.add(wb[rows, i], wi[rows, i], fb[rows], fi[rows], np.swapaxes(part, 1, 2))
        if common:
            lens = np.zeros((len(rows), 7, 1))
            lens[:, 1:, 0] = A[rows, i, :6, 6]
            np.add.at(system.border, (wb[rows, i][:, None], wi[rows, i]), back[rows, i] @ lens)


def _known_beforehand(system: Banded, world: World, layout: _Layout) -> float:
    """Cost of lenses that are rare, or that change faster than a zoom does; adds its equations."""
    if layout.options.focal_known:
        return 0.0
    log_focal = np.log(world.focal)
    strength = _ALIKE / _FOCAL_DOUBT**2
    if layout.common:
        off = float(log_focal[0] - np.log(TYPICAL_FOCAL))
        system.corner[0, 0] += strength
        system.right_corner[0] += strength * off
        return strength * off**2 / 2
    frames = np.flatnonzero(world.posed)
    off = log_focal[frames] - np.log(TYPICAL_FOCAL)
    at = layout.frame_index[frames, -1]
    block = layout.frame_block[frames]
    weak = strength / len(frames)
    np.add.at(system.diagonal, (block, at, at), weak)
    np.add.at(system.right, (block, at), weak * off)
    cost = weak * float((off**2).sum()) / 2
    gap = np.diff(frames)
    near = gap <= layout.span  # farther ones would not meet in neighbouring blocks
    i, j = np.flatnonzero(near), np.flatnonzero(near) + 1
    strong = _ALIKE / (_ZOOM_STEP**2 * gap[near])
    change = log_focal[frames[j]] - log_focal[frames[i]]
    for one, other, sign in ((i, j, 1.0), (j, i, -1.0)):
        np.add.at(system.diagonal, (block[one], at[one], at[one]), strong)
        np.add.at(system.right, (block[one], at[one]), -sign * strong * change)
        system.add(block[one], at[one][:, None], block[other], at[other][:, None], -strong[:, None, None])
    return cost + float((strong * change**2).sum()) / 2


def window_depths(samples: Samples, world: World, frames: np.ndarray, slots: np.ndarray):
    """Depth (T, N) in world units that windows give their frames' pixels, and its weight, 0 behind the camera."""
    g = samples.window[frames, slots]
    row = np.swapaxes(world.R[frames], 1, 2)[:, 2]  # the camera's z axis
    A = world.scale[g][:, None] * (row[:, None] @ world.rotation[g])[:, 0]
    b = (row * (world.shift[g] - world.c[frames])).sum(1)
    z = (samples.points[frames, slots] @ A[..., None].astype(np.float32))[..., 0] + b[:, None].astype(np.float32)
    return z, np.where(z > 1e-3, samples.weight[frames, slots], np.float32(0.0))
