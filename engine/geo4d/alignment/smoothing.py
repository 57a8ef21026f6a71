"""Tremble that is not the camera's: how much of it there is, and the most likely path without it.

Windows that hold the same frame give its camera independent errors, so their disagreement from frame to frame tells
the noise of the path, turn and place together: a camera that is turned too far is mostly shifted back. What ray maps
say of the camera counts too, by how far it is from the path. What the path does beyond the noise is the camera's own;
how much that is follows from the path (greatest likelihood), which is then smoothed by that ratio (Wiener) and keeps
real shake where windows agree on it. Errors that all windows share cannot be seen, and stay.
"""

from dataclasses import dataclass

import numpy as np

from ..geometry.rotation import rotations_from_vectors, vectors_from_rotations
from .registration import World
from .residuals import Spreads, deviations
from .samples import Samples
from .trajectories import own_cameras

_BLOCK = 8  # frames
_OWN = 10.0 ** -np.arange(0.0, 4.1, 0.5)  # shares of the path's jerkiness that may be the camera's own
_LEAST_ROWS = 8
_FEW_ROWS = 20.0  # at which half of a correlation is believed, and of what sets an axis apart from others
_LEAST_SHARE = 0.1  # of what ray maps are off the path, that is their own fault at least
_RARE = 9.0  # times its usual square, from which a jerk is a bump and not smoothed away


@dataclass
class Jerk:
    """Second differences in time of k numbers a frame, and their noise."""

    value: np.ndarray  # (F - 2, k)
    known: np.ndarray  # (F - 2,) bool: one window holds all three frames
    noise: np.ndarray  # (F, k, k) covariance of each frame's numbers

    def covariance(self, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Blocks (F - 2, k, k) of a row against itself, the next and the next but one; ``own`` (F - 2, k)."""
        S = self.noise
        pairs = (S[:-2] + 4 * S[1:-1] + S[2:], -2 * (S[1:-1] + S[2:]), S[2:].copy())
        k = S.shape[1]
        pairs[0][:, np.arange(k), np.arange(k)] += own
        pairs[0][~self.known] = np.eye(k)
        for step in (1, 2):
            both = self.known.copy()
            both[:-step] &= self.known[step:]
            both[-step:] = False
            pairs[step][~both] = 0.0
        return pairs

    def whitened(self, own: np.ndarray) -> tuple[np.ndarray, float]:
        """The rows times their inverse covariance (F - 2, k), and minus twice their log likelihood."""
        y, log_det = _solve_banded(self.covariance(own), self.value * self.known[:, None])
        return y, log_det + float((self.value * y * self.known[:, None]).sum())


def smooth_path(samples: Samples, world: World, spreads: Spreads, places: bool = True) -> dict:
    """Smooth the cameras of ``world`` in place, their places too where ``places``; says by how much (plain numbers)."""
    k = 6 if places else 3
    evidence = frame_evidence(samples, world, spreads, k)
    if evidence is None:
        return {}
    offset, noise = evidence
    value = np.zeros((max(len(samples) - 2, 0), k))
    step = vectors_from_rotations(np.swapaxes(world.R[:-1], 1, 2) @ world.R[1:])
    value[:, :3] = np.diff(step, axis=0)
    if places:
        value[:, 3:] = np.diff(world.c, n=2, axis=0)
    jerk = Jerk(value + np.diff(offset, n=2, axis=0), _within_windows(samples, world), noise)
    if jerk.known.sum() < _LEAST_ROWS:
        return {}
    move = offset + _most_likely(jerk)
    move[~world.posed] = 0.0
    world.R = world.R @ rotations_from_vectors(move[:, :3])
    done = {"smoothed_deg": float(np.degrees(np.sqrt((move[:, :3] ** 2).sum(1).mean())))}
    if places:
        world.c = world.c + move[:, 3:]
        done["smoothed_share_of_depth"] = float(np.sqrt((move[:, 3:] ** 2).sum(1).mean()))
    return done


def frame_evidence(samples: Samples, world: World, spreads: Spreads, k: int) -> tuple[np.ndarray, np.ndarray] | None:
    """How each frame's camera should move, (F, k), and the covariance of what is left, (F, k, k).

    The first three numbers are the turn (radians, camera axes, ``R exp(turn)``), the others the shift (world axes).
    None where no frame lies in two windows.
    """
    move, there = deviations(samples, world, spreads, k)
    several = np.maximum(there.sum(1), 1)
    covariance = tremble(samples, world, move, there)
    if covariance is None:
        return None
    trust = several[:, None, None] * np.linalg.inv(covariance)
    offset = np.zeros((len(samples), k))
    own, said = own_cameras(samples, world)
    own = own[..., :k]
    if said.sum() >= _LEAST_ROWS:
        spread = _covariance(own[said], int(said.sum()))
        noise = np.mean(np.diagonal(covariance) / several[said.any(1), None], axis=0)
        total = np.diagonal(spread)
        share = np.sqrt(np.maximum(total - noise, _LEAST_SHARE * total) / total)
        theirs = np.linalg.inv(spread * np.outer(share, share))
        far = np.einsum("fmi,ij,fmj->fm", own, np.linalg.inv(spread), own) / k
        weight = said / (1 + far / 4)
        trust = trust + weight.sum(1)[:, None, None] * theirs
        right = np.einsum("ij,fmj,fm->fi", theirs, own, weight)
        offset = np.linalg.solve(trust, right[..., None])[..., 0]
    noise = np.linalg.inv(trust)
    if k == 6:  # shifts from camera to world axes
        axes = np.tile(np.eye(6), (len(samples), 1, 1))
        axes[:, 3:, 3:] = world.R
        offset = (axes @ offset[..., None])[..., 0]
        noise = axes @ noise @ np.swapaxes(axes, 1, 2)
    return offset, noise


def tremble(samples: Samples, world: World, move: np.ndarray, there: np.ndarray) -> np.ndarray | None:
    """Covariance (k, k) of one window's ``move`` (F, M, k) of a frame's camera, from frame to frame.

    None where no frame lies in two windows.
    """
    several = there.sum(1)
    second = [np.zeros((0, move.shape[-1]))]
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
    second = np.concatenate(second)
    if len(second) < _LEAST_ROWS:
        return None
    return _covariance(second, len(second) // int(np.median(several[several > 1]))) / 6


def _covariance(rows: np.ndarray, independent: int) -> np.ndarray:
    """Robust covariance (k, k) about 0 of rows (n, k); few rows tell little of correlations and of single axes."""
    k = rows.shape[1]
    believed = independent / (independent + _FEW_ROWS)
    size = np.maximum(np.median(np.abs(rows), axis=0) / 0.6745, 1e-12)
    pooled = np.repeat(np.sqrt((size**2).reshape(-1, 3).mean(1)), 3)
    size = np.sqrt(believed * size**2 + (1 - believed) * pooled**2)
    z = rows / size
    w = 1 / (1 + (z * z).sum(1) / (4 * k))
    C = (z * w[:, None]).T @ z
    scale = np.sqrt(np.maximum(np.diagonal(C), 1e-12))
    C = C / np.outer(scale, scale) * believed
    C[np.arange(k), np.arange(k)] = 1.0
    return C * np.outer(size, size)


def _within_windows(samples: Samples, world: World) -> np.ndarray:
    """(F - 2,) bool: some window holds the three frames, so that their jerk is no joint of windows."""
    used = np.where((samples.window >= 0) & world.ok[np.maximum(samples.window, 0)], samples.window, -1)
    a, b, c = used[:-2], used[1:-1], used[2:]
    common = (a[:, :, None] == b[:, None, :]) & (a[:, :, None] >= 0)
    return (common[:, :, :, None] & (b[:, None, :, None] == c[:, None, None, :])).any((1, 2, 3))


def _most_likely(jerk: Jerk) -> np.ndarray:
    """Moves (F, k) of the frames to the most likely path, given the noise and that jerks are rare."""
    rows, k = jerk.value.shape
    square = (jerk.value[jerk.known] ** 2).reshape(-1, k // 3, 3)
    total = np.maximum(square.mean((0, 2)), 1e-18)  # of turns, and of places
    share = np.full(k // 3, 0.03)
    for part in range(k // 3):
        tries = np.tile(share, (len(_OWN), 1))
        tries[:, part] = _OWN
        fit = [jerk.whitened(np.tile(np.repeat(s * total, 3), (rows, 1)))[1] for s in tries]
        share = tries[int(np.argmin(fit))]
    own = np.tile(np.repeat(share * total, 3), (rows, 1))
    move = np.zeros((rows + 2, k))
    for _ in range(3):
        y = jerk.whitened(own)[0]
        along = np.zeros_like(move)
        along[:-2] += y
        along[1:-1] -= 2 * y
        along[2:] += y
        move = -(jerk.noise @ along[..., None])[..., 0]
        left = jerk.value + np.diff(move, n=2, axis=0)
        size = (left**2).reshape(rows, k // 3, 3).mean(2) / (share * total)
        own = np.repeat(share * total * np.maximum(1.0, size / _RARE), 3, axis=1)
    return move


def _solve_banded(pairs: tuple[np.ndarray, np.ndarray, np.ndarray], right: np.ndarray) -> tuple[np.ndarray, float]:
    """x (n, k) of the symmetric system of ``Jerk.covariance`` and the logarithm of its determinant."""
    n, k = right.shape
    count = -(-n // _BLOCK)
    D, upper = np.zeros((2, count * _BLOCK, k, 2 * _BLOCK, k))
    row = np.arange(count * _BLOCK)
    D[row, :, row % _BLOCK, :] = np.eye(k)
    row = row[:n]
    for step, values in enumerate(pairs):
        use = row[: n - step]
        place = use % _BLOCK + step
        D[use, :, place, :] = values[: n - step]  # what lies beyond the block moves to ``upper`` below
        if step:
            inner = use[place < _BLOCK]
            D[inner + step, :, inner % _BLOCK, :] = np.swapaxes(values[inner], 1, 2)
    upper = D[:, :, _BLOCK:].reshape(count, _BLOCK * k, _BLOCK * k)
    D = D[:, :, :_BLOCK].reshape(count, _BLOCK * k, _BLOCK * k).copy()
    sides = np.zeros((count * _BLOCK, k))
    sides[:n] = right
    sides = sides.reshape(count, _BLOCK * k)
    log_det, before = 0.0, []
    for b in range(count):
        log_det += float(np.linalg.slogdet(D[b])[1])
        solved = np.linalg.solve(D[b], np.column_stack([upper[b], sides[b]]))
        before.append(solved)
        if b + 1 < count:
            D[b + 1] -= upper[b].T @ solved[:, :-1]
            sides[b + 1] -= upper[b].T @ solved[:, -1]
    x = np.zeros_like(sides)
    x[-1] = before[-1][:, -1]
    for b in range(count - 2, -1, -1):
        x[b] = before[b][:, -1] - before[b][:, :-1] @ x[b + 1]
    return x.reshape(-1, k)[:n], log_det
