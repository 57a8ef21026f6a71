"""Cameras, lens and window similarities at once: Levenberg-Marquardt on the pixels of the grid.

The residuals of :mod:`.residuals`, each kind divided by its own spread, which is found from the data. A window turned
or shifted about a frame's camera acts like that camera turned or shifted, so one small system a frame and window
serves both; pixels' depths and then frames are eliminated in closed form.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..geometry.rotation import rotations_from_vectors
from .banded import Banded
from .registration import TYPICAL_FOCAL, World
from .resection import moved
from .residuals import DEPTH_COLUMNS, WIDTH, Spreads, chunks, depth_equations, lateral_equations, measure
from .samples import Samples

Freedom = Literal["pose", "rotation", "none"]

_CONVERGED = 1e-4  # share of the cost that a step gains
# Errors of neighbouring pixels are alike: so many equations of pixels count as one against what is known beforehand.
_ALIKE = 50.0
_FOCAL_DOUBT = 0.4  # of the logarithm of the typical focal length
_ZOOM_STEP = 0.01  # usual change of the logarithm of the focal length between two frames of a zoom


@dataclass
class Options:
    freedom: Freedom = "pose"
    focal_known: bool = False
    zoom: bool = False


def adjust(samples: Samples, world: World, options: Options, rounds: int = 4, steps: int = 3) -> tuple[World, Spreads]:
    """The adjusted world and the spreads of its residuals. Windows that are not ``ok`` are left out."""
    layout = _Layout(samples, world, options)
    spreads = measure(samples, world)
    damping = 1e-4
    for _ in range(rounds):
        cost, system = evaluate(samples, world, spreads, options, layout)
        begun = cost
        for _ in range(steps):
            trial = layout.apply(world, *system.solve(damping))
            tried, tried_system = evaluate(samples, trial, spreads, options, layout)
            if not tried < cost:
                damping *= 20
                continue
            gain = (cost - tried) / cost
            world, cost, system, damping = trial, tried, tried_system, max(damping * 0.1, 1e-7)
            if gain < _CONVERGED:
                break
        spreads = measure(samples, world)
        if begun - cost < _CONVERGED * begun:
            break
    return world, spreads


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
        # In a zoom, frames meet through the focal length.
        leaves = self.span * self.pose if self.per_frame == self.pose else 0
        return Banded.zeros(self.blocks, self.size, self.common, leaves, self.pose)

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


def evaluate(
    samples: Samples, world: World, spreads: Spreads, options: Options, layout: _Layout
) -> tuple[float, Banded]:
    """Robust cost and normal equations of a state."""
    system, cost = layout.system(), 0.0
    centres = layout.centres(world)
    lateral2, depth2 = np.float32(spreads.lateral**2), np.float32(spreads.depth**2)
    for chunk in chunks(samples, world, spreads.depth):
        frames = chunk.frames
        off2 = chunk.off2() / (WIDTH**2 * lateral2)
        cost += WIDTH**2 / 2 * float((chunk.w * np.log1p(off2)).sum(dtype=np.float64))
        A, a = lateral_equations(chunk, chunk.w / ((1 + off2) * lateral2), samples.xy, world.focal[frames])
        shared = chunk.w * (chunk.partners > 1)[:, None]
        off2 = chunk.r**2 / (WIDTH**2 * depth2)
        cost += WIDTH**2 / 2 * float((shared * np.log1p(off2)).sum(dtype=np.float64))
        B, b = depth_equations(chunk, shared / ((1 + off2) * depth2))
        g = np.maximum(samples.window[frames], 0)
        about = _about_camera(world, frames, centres[g])
        _assemble(system, layout, frames, g, samples.window[frames] >= 0, A, a, B, b, about)
    return cost + _known_beforehand(system, world, layout), system


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


def _assemble(system, layout, frames, g, there, A, a, B, b, about) -> None:
    f, M = g.shape
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
    pick = np.array(DEPTH_COLUMNS)
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
