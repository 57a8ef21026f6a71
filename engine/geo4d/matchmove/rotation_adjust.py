"""Bundle adjustment of a camera that only turns: rotations, focal length, radial term and point directions.

Gauss-Newton with the directions eliminated (Schur complement), under a Cauchy loss. The focal length is one for all
frames, or one a frame and smooth in time.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..geometry.camera import Intrinsics, camera_rays
from ..progress import Progress
from .bundle import zoom_prior
from .focal_deviation import clusters, deviation


@dataclass
class Panorama:
    """Rotations camera-to-world (F, 3, 3), unit directions (N, 3) in the world; one lens, or one a frame."""

    rotation: np.ndarray
    direction: np.ndarray
    lens: Intrinsics
    focal_sigma: float = np.nan  # standard deviation of the focal length, relative; with a zoom of its mean
    cost: float = np.nan  # mean Cauchy cost per observation


def turn(v: np.ndarray) -> np.ndarray:
    """Rotation matrices (K, 3, 3) of rotation vectors (K, 3)."""
    return np.stack([cv2.Rodrigues(x)[0] for x in v]) if len(v) else np.zeros((0, 3, 3))


def residuals(panorama: Panorama, track: np.ndarray, frame: np.ndarray, xy: np.ndarray):
    """Projected minus measured pixels (M, 2), infinite behind the camera; camera-space directions (M, 3)."""
    lens = panorama.lens.at(frame)
    p = np.einsum("mji,mj->mi", panorama.rotation[frame], panorama.direction[track])
    z = np.where(p[:, 2] > 0.05, p[:, 2], np.nan)
    n = p[:, :2] / z[:, None]
    d = n * (1 + lens.k1 * np.sum(n * n, axis=1, keepdims=True))
    r = d * lens.focal + lens.centre - xy
    return np.where(np.isfinite(r), r, np.inf), p


def mean_directions(panorama: Panorama, track, frame, xy, count: int, scale_px: float, rounds: int = 4) -> np.ndarray:
    """Unit directions (``count``, 3) by reweighted means of the rays; NaN for tracks without observations."""
    lens = panorama.lens.at(frame)
    rays = camera_rays(xy.astype(np.float64), lens)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    rays = np.einsum("mij,mj->mi", panorama.rotation[frame], rays)
    weight = np.ones(len(track))
    direction = np.full((count, 3), np.nan)
    for _ in range(rounds):
        total = np.column_stack([np.bincount(track, weight * rays[:, i], minlength=count) for i in range(3)])
        size = np.linalg.norm(total, axis=1, keepdims=True)
        direction = np.where(size > 1e-12, total / np.maximum(size, 1e-12), np.nan)
        off = np.linalg.norm(rays - direction[track], axis=1) * lens.fx / scale_px
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
    """Minimise the Cauchy loss of the pixel residuals; returns the better panorama with cost and focal sigma.

    A panorama with one lens a frame keeps one a frame; its frames are then consecutive ones.
    """

    def cost(p: Panorama) -> float:
        course = zoom_prior(p.lens.fx)[0] / len(track) if np.ndim(p.lens.fx) else 0.0
        return cauchy_cost(residuals(p, track, frame, xy)[0], scale_px) + course

    damping = 1e-4
    best = replace(panorama, cost=cost(panorama))
    for iteration in range(iterations):
        progress.advance("tripod", iteration, iterations)
        trial = _apply(best, _step(best, track, frame, xy, scale_px, focal, k1, damping))
        trial.cost = cost(trial)
        if trial.cost < best.cost:
            gain = best.cost - trial.cost
            best, damping = trial, max(damping / 5, 1e-8)
            if gain < 1e-6 * best.cost:
                break
        else:
            damping *= 10
            if damping > 1e3:
                break
    best.focal_sigma = 0.0
    if focal:
        score, rows = _step(best, track, frame, xy, scale_px, True, True, 1e-9, scores=True)
        longest = max(panorama.lens.width, panorama.lens.height)
        best.focal_sigma = deviation(score, clusters(track[rows], frame[rows], xy[rows], longest), not k1)
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


def _step(panorama, track, frame, xy, scale_px, focal, k1, damping, scores: bool = False):
    """One Gauss-Newton step: (rotation vectors (F, 3), tangents (N, 2), basis, log focal, k1).

    With ``scores`` instead: what each observation moves the mean log focal length by, and which observations (M,) bool.

    The change of log focal length is one number, or (F,) where every frame has its own.
    """
    F, N, zoom = len(panorama.rotation), len(panorama.direction), np.ndim(panorama.lens.fx) > 0
    r, p = residuals(panorama, track, frame, xy)
    ok = np.isfinite(r[:, 0])
    track, frame, r, p = track[ok], frame[ok], r[ok], p[ok]
    lens = panorama.lens.at(frame)
    w = np.sqrt(1.0 / (1.0 + np.sum(r * r, axis=1) / scale_px**2))
    z = p[:, 2]
    n = p[:, :2] / z[:, None]
    r2 = np.sum(n * n, axis=1)
    # d(distorted)/d(n), then d(n)/d(p)
    D = (1 + lens.k1 * r2)[:, None, None] * np.eye(2) + 2 * lens.k1 * n[:, :, None] * n[:, None, :]
    Jn = np.zeros((len(p), 2, 3))
    Jn[:, 0, 0] = Jn[:, 1, 1] = 1 / z
    Jn[:, :, 2] = -n / z[:, None]
    Jp = lens.focal[..., None] * (D @ Jn) * w[:, None, None]
    cross = np.zeros((len(p), 3, 3))  # -[p]x : how p moves when the camera turns
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = p[:, 2], -p[:, 1], p[:, 0]
    cross -= cross.transpose(0, 2, 1)
    Jr = Jp @ cross
    basis = _tangents(np.nan_to_num(panorama.direction, nan=1.0))
    Jd = Jp @ panorama.rotation[frame].transpose(0, 2, 1) @ basis[track]
    Jl = np.stack([n * (1 + lens.k1 * r2)[:, None], n * r2[:, None]], axis=2) * (lens.focal * w[:, None])[:, :, None]
    rw = r * w[:, None]
    lenses = F if zoom else 1
    bend = 3 * F + lenses  # where k1 stands, after the focal lengths
    size = bend + 1
    Jc = np.concatenate([Jr, Jl], axis=2)  # (M, 2, 5)
    column = np.column_stack(
        [3 * frame[:, None] + np.arange(3), 3 * F + (frame if zoom else 0 * frame), np.full(len(frame), bend)]
    )
    A = np.zeros((size, size))
    np.add.at(A, (column[:, :, None], column[:, None, :]), Jc.transpose(0, 2, 1) @ Jc)
    g = np.bincount(column.ravel(), np.einsum("mij,mi->mj", Jc, rw).ravel(), minlength=size)
    focals = np.arange(3 * F, bend)
    if zoom:
        _, slope, curvature = zoom_prior(panorama.lens.fx)
        A[np.ix_(focals, focals)] += scale_px**2 * curvature
        g[focals] += scale_px**2 * slope
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
    S[focals, focals] += 1e-9 if focal else 1e18
    S[bend, bend] += 1e-9 if k1 else 1e18
    S[np.arange(size), np.arange(size)] += 1e-9
    if scores:
        goal = np.zeros(size)
        goal[focals] = 1.0 / lenses
        x = np.linalg.solve(S, goal)
        moved = np.einsum("mij,mj->mi", Jc, x[column])
        pull = np.column_stack(
            [np.bincount(track, np.einsum("mi,mi->m", Jd[:, :, i], moved), minlength=N) for i in (0, 1)]
        )
        moved -= np.einsum("mij,mj->mi", Jd, (Vi @ pull[..., None])[track, :, 0])
        return -np.einsum("mi,mi->m", moved, rw), ok
    x = -np.linalg.solve(S, b)
    # Directions follow: V d = -(h + E x)
    Ex = np.zeros((N, 2))
    moved = np.einsum("mij,mj->mi", W, x[column])
    for i in range(2):
        Ex[:, i] = np.bincount(track, moved[:, i], minlength=N)
    y = -(Vi @ (h + Ex)[..., None])[..., 0]
    log_focal = x[focals] if zoom else x[3 * F]
    return x[: 3 * F].reshape(F, 3), y, basis, log_focal, x[bend]


def _apply(panorama: Panorama, step) -> Panorama:
    w, y, basis, df, dk = step
    f = panorama.lens.fx * np.exp(np.clip(df, -0.3, 0.3))
    lens = replace(panorama.lens, fx=f, fy=f, k1=panorama.lens.k1 + float(np.clip(dk, -0.2, 0.2)))
    direction = panorama.direction + np.einsum("nij,nj->ni", basis, np.clip(y, -0.2, 0.2))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    # exp(w) acts on the camera side of world-to-camera, so its inverse acts on the right of camera-to-world.
    rotation = panorama.rotation @ turn(np.clip(w, -0.3, 0.3)).transpose(0, 2, 1)
    return Panorama(rotation, direction, lens)
