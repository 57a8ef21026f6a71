"""Bundle adjustment of a camera that only turns: rotations, focal length, radial term and point directions.

Gauss-Newton with the directions eliminated (Schur complement), under a Cauchy loss.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..geometry.camera import Intrinsics, camera_rays
from ..progress import Progress


@dataclass
class Panorama:
    """Rotations camera-to-world (F, 3, 3), unit directions (N, 3) in the world, one lens."""

    rotation: np.ndarray
    direction: np.ndarray
    lens: Intrinsics
    focal_sigma: float = np.nan  # standard deviation of the focal length, relative
    cost: float = np.nan  # mean Cauchy cost per observation


def turn(v: np.ndarray) -> np.ndarray:
    """Rotation matrices (K, 3, 3) of rotation vectors (K, 3)."""
    return np.stack([cv2.Rodrigues(x)[0] for x in v]) if len(v) else np.zeros((0, 3, 3))


def residuals(panorama: Panorama, track: np.ndarray, frame: np.ndarray, xy: np.ndarray):
    """Projected minus measured pixels (M, 2), infinite behind the camera; camera-space directions (M, 3)."""
    lens = panorama.lens
    p = np.einsum("mji,mj->mi", panorama.rotation[frame], panorama.direction[track])
    z = np.where(p[:, 2] > 0.05, p[:, 2], np.nan)
    n = p[:, :2] / z[:, None]
    d = n * (1 + lens.k1 * np.sum(n * n, axis=1, keepdims=True))
    r = d * lens.fx + [lens.cx, lens.cy] - xy
    return np.where(np.isfinite(r), r, np.inf), p


def mean_directions(panorama: Panorama, track, frame, xy, count: int, scale_px: float, rounds: int = 4) -> np.ndarray:
    """Unit directions (``count``, 3) by reweighted means of the rays; NaN for tracks without observations."""
    rays = camera_rays(xy.astype(np.float64), panorama.lens)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    rays = np.einsum("mij,mj->mi", panorama.rotation[frame], rays)
    weight = np.ones(len(track))
    direction = np.full((count, 3), np.nan)
    for _ in range(rounds):
        total = np.column_stack([np.bincount(track, weight * rays[:, i], minlength=count) for i in range(3)])
        size = np.linalg.norm(total, axis=1, keepdims=True)
        direction = np.where(size > 1e-12, total / np.maximum(size, 1e-12), np.nan)
        off = np.linalg.norm(rays - direction[track], axis=1) * panorama.lens.fx / scale_px
        weight = 1.0 / (1.0 + np.nan_to_num(off, nan=1e3) ** 2)
    return direction


def adjust_rotations(
    panorama: Panorama,
    track,
    frame,
    xy,
    scale_px: float,
    focal: bool,
    k1: bool,
    progress: Progress,
    iterations: int = 20,
) -> Panorama:
    """Minimise the Cauchy loss of the pixel residuals; returns the better panorama with cost and focal sigma."""
    damping = 1e-4
    best = replace(panorama, cost=cauchy_cost(residuals(panorama, track, frame, xy)[0], scale_px))
    for iteration in range(iterations):
        progress.advance("tripod", iteration, iterations)
        step, sigma = _step(best, track, frame, xy, scale_px, focal, k1, damping)
        trial = _apply(best, step)
        trial.cost = cauchy_cost(residuals(trial, track, frame, xy)[0], scale_px)
        trial.focal_sigma = sigma
        if trial.cost < best.cost:
            gain = best.cost - trial.cost
            best, damping = trial, max(damping / 5, 1e-8)
            if gain < 1e-6 * best.cost:
                break
        else:
            damping *= 10
            if damping > 1e3:
                break
    return best


def cauchy_cost(r: np.ndarray, scale_px: float) -> float:
    e2 = np.minimum(np.sum(r * r, axis=1) / scale_px**2, 1e6)
    return float(np.mean(np.log1p(np.nan_to_num(e2, nan=1e6))))


def _tangents(d: np.ndarray) -> np.ndarray:
    """Two unit vectors (N, 3, 2) across each direction (N, 3)."""
    axis = np.where(np.abs(d[:, :1]) < 0.8, [[1.0, 0, 0]], [[0, 1.0, 0]])
    u = np.cross(d, axis)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    return np.stack([u, np.cross(d, u)], axis=2)


def _step(panorama, track, frame, xy, scale_px, focal, k1, damping):
    """One Gauss-Newton step: (rotation vectors (F, 3), tangents (N, 2), basis, focal, k1) and focal sigma."""
    lens, F, N = panorama.lens, len(panorama.rotation), len(panorama.direction)
    r, p = residuals(panorama, track, frame, xy)
    ok = np.isfinite(r[:, 0])
    track, frame, r, p = track[ok], frame[ok], r[ok], p[ok]
    w = np.sqrt(1.0 / (1.0 + np.sum(r * r, axis=1) / scale_px**2))
    z = p[:, 2]
    n = p[:, :2] / z[:, None]
    r2 = np.sum(n * n, axis=1)
    # d(distorted)/d(n), then d(n)/d(p)
    D = (1 + lens.k1 * r2)[:, None, None] * np.eye(2) + 2 * lens.k1 * n[:, :, None] * n[:, None, :]
    Jn = np.zeros((len(p), 2, 3))
    Jn[:, 0, 0] = Jn[:, 1, 1] = 1 / z
    Jn[:, :, 2] = -n / z[:, None]
    Jp = lens.fx * (D @ Jn) * w[:, None, None]
    cross = np.zeros((len(p), 3, 3))  # -[p]x : how p moves when the camera turns
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = p[:, 2], -p[:, 1], p[:, 0]
    cross -= cross.transpose(0, 2, 1)
    Jr = Jp @ cross
    basis = _tangents(np.nan_to_num(panorama.direction, nan=1.0))
    Jd = Jp @ panorama.rotation[frame].transpose(0, 2, 1) @ basis[track]
    Jl = np.stack([n * (1 + lens.k1 * r2)[:, None] * lens.fx, n * r2[:, None] * lens.fx], axis=2) * w[:, None, None]
    rw = r * w[:, None]
    size = 3 * F + 2
    Jc = np.concatenate([Jr, Jl], axis=2)  # (M, 2, 5)
    column = np.concatenate([3 * frame[:, None] + np.arange(3), np.tile([3 * F, 3 * F + 1], (len(frame), 1))], axis=1)
    A = np.zeros((size, size))
    np.add.at(A, (column[:, :, None], column[:, None, :]), Jc.transpose(0, 2, 1) @ Jc)
    g = np.bincount(column.ravel(), np.einsum("mij,mi->mj", Jc, rw).ravel(), minlength=size)
    V = np.zeros((N, 2, 2))
    h = np.zeros((N, 2))
    JdJd, Jdr = Jd.transpose(0, 2, 1) @ Jd, np.einsum("mij,mi->mj", Jd, rw)
    for i in range(2):
        h[:, i] = np.bincount(track, Jdr[:, i], minlength=N)
        for j in range(2):
            V[:, i, j] = np.bincount(track, JdJd[:, i, j], minlength=N)
    V[:, [0, 1], [0, 1]] = V[:, [0, 1], [0, 1]] * (1 + damping) + 1e-9
    Vi = np.linalg.inv(V)
    W = Jd.transpose(0, 2, 1) @ Jc  # (M, 2, 5)
    S, b = A.copy(), g.copy()
    S[np.arange(size), np.arange(size)] *= 1 + damping
    chunk = max(1, 4_000_000 // size)  # tracks at a time: 64 MB
    for start in range(0, N, chunk):
        rows = (track >= start) & (track < start + chunk)
        E = np.zeros((min(chunk, N - start), 2, size))
        tt = track[rows] - start
        np.add.at(E, (tt[:, None, None], np.arange(2)[None, :, None], column[rows][:, None, :]), W[rows])
        VE = Vi[start : start + chunk] @ E
        flat = E.reshape(-1, size)
        S -= flat.T @ VE.reshape(-1, size)
        b -= flat.T @ (Vi[start : start + chunk] @ h[start : start + chunk, :, None]).ravel()
    S[:3, :3] += np.eye(3) * 1e12  # the first frame holds the gauge
    for i, free in ((3 * F, focal), (3 * F + 1, k1)):
        S[i, i] += 1e-9 if free else 1e18
    S[np.arange(size), np.arange(size)] += 1e-9
    x = -np.linalg.solve(S, b)
    # Directions follow: V d = -(h + E x)
    Ex = np.zeros((N, 2))
    moved = np.einsum("mij,mj->mi", W, x[column])
    for i in range(2):
        Ex[:, i] = np.bincount(track, moved[:, i], minlength=N)
    y = -(Vi @ (h + Ex)[..., None])[..., 0]
    unit = np.zeros(size)
    unit[3 * F] = 1
    variance = float(np.sum(rw * rw)) / max(1, 2 * len(r) - size - 2 * N)
    sigma = float(np.sqrt(max(np.linalg.solve(S, unit)[3 * F] * variance, 0))) if focal else 0.0
    return (x[: 3 * F].reshape(F, 3), y, basis, x[3 * F], x[3 * F + 1]), sigma


def _apply(panorama: Panorama, step) -> Panorama:
    w, y, basis, df, dk = step
    f = panorama.lens.fx * float(np.exp(np.clip(df, -0.3, 0.3)))
    lens = replace(panorama.lens, fx=f, fy=f, k1=panorama.lens.k1 + float(np.clip(dk, -0.2, 0.2)))
    direction = panorama.direction + np.einsum("nij,nj->ni", basis, np.clip(y, -0.2, 0.2))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    # exp(w) acts on the camera side of world-to-camera, so its inverse acts on the right of camera-to-world.
    rotation = panorama.rotation @ turn(np.clip(w, -0.3, 0.3)).transpose(0, 2, 1)
    return Panorama(rotation, direction, lens)
