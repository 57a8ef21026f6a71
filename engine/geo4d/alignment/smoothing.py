"""Tremble that is not the camera's: how much of it there is, and the most likely path without it.

Windows that hold the same frame give its camera independent errors, so their disagreement from frame to frame tells
the noise of the path, and what the path does beyond that is the camera's own. A path smoothed by that ratio (Wiener)
keeps real shake where windows agree on it. Errors that all windows share cannot be seen, and stay.
"""

import numpy as np

from ..geometry.rotation import rotations_from_vectors, vectors_from_rotations
from .banded import Banded
from .registration import World
from .residuals import Spreads, deviations
from .samples import Samples

_BLOCK = 32  # frames
_LEAST_OWN = 0.05  # share of the path's jerkiness that is the camera's own in any case
_TRIM = 0.95  # the wildest are left out of mean squares
_SECOND = np.array([1.0, -2.0, 1.0])


def smooth_path(samples: Samples, world: World, spreads: Spreads, places: bool = True) -> dict:
    """Smooth the cameras of ``world`` in place, their places too where ``places``; says by how much (plain numbers)."""
    turn_noise, place_noise = tremble(samples, world, spreads)
    used = (samples.window >= 0) & world.ok[np.maximum(samples.window, 0)]
    several = np.maximum(used.sum(1), 1)
    done = {}
    for name, noise in (("turn", turn_noise), ("place", place_noise)):
        if noise is None or (name == "place" and not places):
            continue
        jerk, middle = _turn_jerk(world) if name == "turn" else _place_jerk(world)
        variance = noise**2 / several
        if len(middle) < 8:
            continue
        total = _mean_square(jerk)
        own = max(total - 6 * float(np.mean(variance[middle])), _LEAST_OWN * total, 1e-18)
        move = _most_likely(jerk, middle, variance, own, len(samples))
        if name == "turn":
            world.R = world.R @ rotations_from_vectors(move)
            done["smoothed_deg"] = float(np.degrees(np.sqrt((move**2).sum(1).mean())))
        else:
            world.c = world.c + move
            done["smoothed_share_of_depth"] = float(np.sqrt((move**2).sum(1).mean()))
    return done


def tremble(samples: Samples, world: World, spreads: Spreads) -> tuple[float | None, float | None]:
    """Standard deviation, per axis, of one window's turn (radians) and place of a frame's camera from frame to frame.

    None where no frame lies in two windows.
    """
    move, there = deviations(samples, world, spreads)
    several = there.sum(1)
    second = []
    for g in np.flatnonzero(world.ok):
        f, m = samples.frames[g], samples.slots[g]
        if len(f) < 3:
            continue
        use = there[f, m] & (several[f] > 1)
        steady = (np.diff(f)[1:] == 1) & (np.diff(f)[:-1] == 1) & use[2:] & use[1:-1] & use[:-2]
        # The path is the windows' mean, which hides a share of what each of them errs.
        grow = np.sqrt(several[f[1:-1]] / np.maximum(several[f[1:-1]] - 1, 1))[:, None]
        d = move[f, m]
        second.append(((d[2:] - 2 * d[1:-1] + d[:-2]) * grow)[steady])
    second = np.concatenate(second) if second else np.zeros((0, 6))
    if len(second) < 8:
        return None, None
    turn, place = (float(np.median(np.abs(v))) / 0.6745 / np.sqrt(6) for v in (second[:, :3], second[:, 3:]))
    return turn, place


def _turn_jerk(world: World) -> tuple[np.ndarray, np.ndarray]:
    step = vectors_from_rotations(np.swapaxes(world.R[:-1], 1, 2) @ world.R[1:])
    return _of_posed(world, np.diff(step, axis=0))


def _place_jerk(world: World) -> tuple[np.ndarray, np.ndarray]:
    return _of_posed(world, np.diff(world.c, n=2, axis=0))


def _of_posed(world: World, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Second differences (n, 3) and the frames in their middle (n,), where all three frames have a camera."""
    posed = world.posed[:-2] & world.posed[1:-1] & world.posed[2:]
    return second[posed], np.flatnonzero(posed) + 1


def _mean_square(jerk: np.ndarray) -> float:
    """Per axis, without the wildest."""
    square = np.sort((jerk**2).mean(1))
    return float(square[: max(1, int(_TRIM * len(square)))].mean())


def _most_likely(jerk, middle, variance, own: float, F: int) -> np.ndarray:
    """Moves (F, 3) that minimise ``|move|^2 / variance + |jerk + second difference of move|^2 / own``."""
    blocks = -(-F // _BLOCK)
    system = Banded.zeros(blocks, _BLOCK, 0)
    right = np.zeros((blocks * _BLOCK, 3))
    every = np.arange(F)
    np.add.at(system.diagonal, (every // _BLOCK, every % _BLOCK, every % _BLOCK), 1 / np.maximum(variance, 1e-18))
    for a in range(3):
        for b in range(3):
            i, j = middle + a - 1, middle + b - 1
            value = np.full((len(middle), 1, 1), _SECOND[a] * _SECOND[b] / own)
            system.add(i // _BLOCK, (i % _BLOCK)[:, None], j // _BLOCK, (j % _BLOCK)[:, None], value)
        np.add.at(right, middle + a - 1, -_SECOND[a] / own * jerk)
    move = np.empty((F, 3))
    for axis in range(3):
        system.right = right[:, axis].reshape(blocks, _BLOCK)
        move[:, axis] = system.solve(0.0)[0].ravel()[:F]
    return move
