"""A hall with pillars and a ball that rolls: exact depth for any camera, by ray casting."""

from functools import lru_cache

import numpy as np
from geo4d.geometry.camera import Intrinsics, camera_rays, pixel_grid
from simulated_windows import Truth

HALF = np.array([6.0, 2.5, 40.0])  # of the hall, metres; y points down, the floor is at +HALF[1]
BALL = 0.7


def pillars() -> np.ndarray:
    """Boxes (P, 2, 3) as lower and upper corner."""
    rng = np.random.default_rng(5)
    boxes = []
    for k in range(34):
        x = (-1) ** k * rng.uniform(2.0, 5.0)
        z = -HALF[2] + 4 + 2.2 * k
        size = rng.uniform(0.3, 0.9, 2)
        top = rng.uniform(-2.5, 1.5)
        boxes.append([[x - size[0], top, z - size[1]], [x + size[0], HALF[1], z + size[1]]])
    return np.array(boxes)


def ball(frame: int) -> np.ndarray:
    """Centre of the ball, which swings across the hall in front of the camera's beginning."""
    return np.array([2.5 * np.sin(frame / 9.0), HALF[1] - BALL, -HALF[2] + 7 + 0.03 * frame])


def least(values: np.ndarray) -> np.ndarray:
    """Minimum of each row (N, 3), by columns, which is many times faster than along the short axis."""
    return np.minimum(np.minimum(values[:, 0], values[:, 1]), values[:, 2])


def cast(c2w: np.ndarray, lens: Intrinsics, frame: int, with_ball: bool) -> tuple[np.ndarray, np.ndarray]:
    """Depth (h, w) and mask of the ball."""
    rays = camera_rays(pixel_grid(lens.width, lens.height), lens).astype(np.float32)
    d = (rays @ c2w[:3, :3].T.astype(np.float32)).reshape(-1, 3)
    o = c2w[:3, 3].astype(np.float32)
    d = np.where(np.abs(d) < 1e-9, np.float32(1e-9), d)
    far = np.where(d > 0, HALF - o, -HALF - o).astype(np.float32) / d
    t = least(far)
    for low, high in pillars():
        a, b = (low - o).astype(np.float32) / d, (high - o).astype(np.float32) / d
        enter, leave = -least(-np.minimum(a, b)), least(np.maximum(a, b))
        hit = (enter < leave) & (enter > 0.05)
        t = np.where(hit & (enter < t), enter, t)
    mask = np.zeros(len(t), dtype=bool)
    if with_ball:
        m = o - ball(frame)
        A, B, C = np.einsum("nk,nk->n", d, d), d @ m.astype(np.float32), float(m @ m) - BALL**2
        root = B * B - A * C
        enter = (-B - np.sqrt(np.maximum(root, 0))) / A
        mask = (root > 0) & (enter > 0.05) & (enter < t)
        t = np.where(mask, enter, t)
    shape = (lens.height, lens.width)
    return t.reshape(shape).astype(np.float32), mask.reshape(shape)


def hall_shot(
    frames: int,
    size: tuple[int, int] = (96, 60),
    footage: tuple[int, int] = (960, 540),
    motion: str = "moving",
    zoom: bool = False,
    with_ball: bool = True,
    step: float = 0.05,
    back: bool = False,
) -> Truth:
    """A walk along the hall with a swaying camera, or the same camera on a tripod, or at rest. Depth is at ``size``.

    ``back`` : half-way the walk turns round, backwards, and ends where it began.
    """
    i = np.arange(frames)
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    yaw, pitch = 0.25 * np.sin(i / 17.0), 0.06 * np.sin(i / 11.0 + 1)
    if motion == "static":
        yaw, pitch = np.full(frames, 0.1), np.full(frames, 0.05)
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    zero, one = np.zeros(frames), np.ones(frames)
    turn = np.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], -1).reshape(-1, 3, 3)
    nod = np.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], -1).reshape(-1, 3, 3)
    c2w[:, :3, :3] = turn @ nod
    c2w[:, 2, 3] = -HALF[2] + 2.0
    if motion == "moving":
        c2w[:, 0, 3], c2w[:, 1, 3] = 0.8 * np.sin(i / 23.0), 0.3 + 0.08 * np.sin(i / 5.0)
        c2w[:, 2, 3] += step * (np.minimum(i, frames - 1 - i) if back else i)
    focal = 0.9 * max(footage) * (np.exp(0.4 * np.sin(i / 30.0)) if zoom else np.ones(frames))
    lenses = [Intrinsics(*footage, float(f), float(f), footage[0] / 2, footage[1] / 2) for f in focal]

    @lru_cache(maxsize=64)
    def view(frame: int):
        return cast(c2w[frame], lenses[frame].scaled(*size), frame, with_ball)

    return Truth(c2w, lenses, lambda frame: view(int(frame))[0], lambda frame: view(int(frame))[1])
