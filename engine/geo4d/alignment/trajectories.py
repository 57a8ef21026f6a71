"""What windows' own cameras, from ray maps, say of the common path.

The paper's trajectory term (Geo4D, arXiv 2504.07961) in closed form: every window's path is placed on the common one by
a similarity of its own, and what is left is evidence for each of its frames.
"""

import numpy as np

from ..geometry.rotation import mean_rotation, vectors_from_rotations
from .registration import World
from .samples import Samples

_MOST_TURN_DEG = 4.0  # root mean square of turns from frame to frame off the path's, as in the reference
_MOST_SHARE = 0.5  # of the window's travel that its places may be off the path
_LEAST_FRAMES = 5
_ROUNDS = 5


def own_cameras(samples: Samples, world: World) -> tuple[np.ndarray, np.ndarray]:
    """How each window's own cameras would turn and shift each frame's camera: (F, M, 6), and (F, M) bool where.

    Turn in radians, ``R exp(turn)``; shift in world units; both in camera axes. Cameras that points were made with
    say nothing new and are left out, as are those that contradict the path altogether.
    """
    F, M = samples.window.shape
    move, there = np.zeros((F, M, 6)), np.zeros((F, M), dtype=bool)
    for g in np.flatnonzero(world.ok):
        own, f, m = samples.cameras[g], samples.frames[g], samples.slots[g]
        if own.c2w is None or own.same_scale or len(f) < _LEAST_FRAMES:
            continue
        R, c = world.R[f], world.c[f]
        B = _common_turn(R @ np.swapaxes(own.c2w[:, :3, :3], 1, 2))
        turn = vectors_from_rotations(np.swapaxes(R, 1, 2) @ B @ own.c2w[:, :3, :3])
        jump = np.degrees(np.linalg.norm(np.diff(turn, axis=0), axis=1))
        if np.sqrt(np.mean(jump**2)) > _MOST_TURN_DEG:
            continue
        shift = _placed(own.c2w[:, :3, 3] @ B.T, c) - c
        travel = np.linalg.norm(c - c.mean(0), axis=1)
        if np.median(np.linalg.norm(shift, axis=1)) > _MOST_SHARE * np.median(travel):
            continue
        move[f, m, :3], move[f, m, 3:] = turn, (np.swapaxes(R, 1, 2) @ shift[..., None])[..., 0]
        there[f, m] = True
    return move, there


def _common_turn(turns: np.ndarray) -> np.ndarray:
    B = mean_rotation(turns)
    for _ in range(_ROUNDS):
        angle = np.linalg.norm(turns - B, axis=(1, 2))
        B = mean_rotation(turns, 1 / (1 + (angle / max(1.5 * float(np.median(angle)), 1e-9)) ** 2))
    return B


def _placed(p: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Places p (T, 3) scaled and shifted onto c (T, 3), with less say for what is far off."""
    w = np.ones(len(p))
    for _ in range(_ROUNDS):
        share = (w / w.sum())[:, None]
        p0, c0 = (share * p).sum(0), (share * c).sum(0)
        spread = (share * (p - p0) ** 2).sum()
        scale = max(float((share * (p - p0) * (c - c0)).sum() / spread), 0.0) if spread > 0 else 0.0
        placed = scale * (p - p0) + c0
        off = np.linalg.norm(placed - c, axis=1)
        w = 1 / (1 + (off / max(1.5 * float(np.median(off)), 1e-9)) ** 2)
    return placed
