"""Tracks with known truth: points projected through known cameras, with noise, slipped tracks and movers."""

import numpy as np
from geo4d.geometry.camera import Intrinsics, project
from geo4d.geometry.similarity import umeyama
from geo4d.tracking.tracks import Tracks

WIDTH, HEIGHT = 960, 540


def rotation_y(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rotation_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def hand_held(frames: int) -> np.ndarray:
    """Camera-to-world (F, 4, 4): a sideways walk with sway, looking at the middle of the scene."""
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    for i, t in enumerate(np.linspace(0, 1, frames)):
        c2w[i, :3, :3] = rotation_y(0.35 - 0.7 * t) @ rotation_x(0.05 * np.sin(7 * t))
        c2w[i, :3, 3] = [2.4 * t - 1.2, 0.15 * np.sin(6 * t), 0.5 * np.sin(2 * t)]
    return c2w


def pan(frames: int) -> np.ndarray:
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    for i, t in enumerate(np.linspace(0, 1, frames)):
        c2w[i, :3, :3] = rotation_y(0.5 * t - 0.25) @ rotation_x(0.06 * np.sin(5 * t))
    return c2w


def room_points(count: int, rng: np.random.Generator) -> np.ndarray:
    """Points (count, 3) on the floor, the far wall and boxes of a room in front of the cameras."""
    third = count // 3
    floor = np.column_stack([rng.uniform(-5, 5, third), np.full(third, 1.2), rng.uniform(2, 9, third)])
    wall = np.column_stack([rng.uniform(-6, 6, third), rng.uniform(-2.5, 1.2, third), np.full(third, 9.0)])
    boxes = np.column_stack(
        [
            rng.uniform(-3.5, 3.5, count - 2 * third),
            rng.uniform(-1.5, 1.2, count - 2 * third),
            rng.uniform(3, 7, count - 2 * third),
        ]
    )
    return np.concatenate([floor, wall, boxes])


def make_tracks(
    c2w: np.ndarray,
    focal: float | np.ndarray = 800.0,
    k1: float = 0.0,
    points: int = 500,
    movers: int = 0,
    noise_px: float = 0.2,
    slipped: float = 0.05,
    seed: int = 0,
    lives: int | None = None,
) -> tuple[Tracks, np.ndarray]:
    """Tracks of a room and of ``movers`` points that march through it together, and which tracks move (N,) bool.

    ``focal`` may be one a frame (F,). ``slipped`` is the share of static tracks that jump by tens of pixels halfway.
    ``lives``: the tracker loses a point after that many frames and finds it anew, as another track.
    """
    rng = np.random.default_rng(seed)
    focals = np.broadcast_to(focal, len(c2w))
    still = room_points(points, rng)
    walker = np.array([-2.5, 0.0, 4.0]) + rng.uniform(-0.5, 0.5, (movers, 3)) * [0.8, 2.0, 0.6]
    tracks, frames, xys, moving = [], [], [], []
    where = []
    for f, pose in enumerate(c2w):
        t = f / (len(c2w) - 1)
        world = np.concatenate([still, walker + np.array([4.5 * t, 0.15 * np.sin(20 * t), 0.8 * np.sin(9 * t)])])
        xy, z = project(world, pose, Intrinsics(WIDTH, HEIGHT, focals[f], focals[f], WIDTH / 2, HEIGHT / 2, k1))
        xy = xy + rng.normal(0, noise_px, xy.shape)
        inside = (z > 0.2) & (xy[:, 0] > 0) & (xy[:, 0] < WIDTH) & (xy[:, 1] > 0) & (xy[:, 1] < HEIGHT)
        where.append(np.where(inside[:, None], xy, np.nan))
    where = np.stack(where)
    broken = rng.random(points + movers) < slipped
    where[len(c2w) // 2 :, broken] += rng.uniform(15, 60, (int(broken.sum()), 2))
    for point in range(points + movers):
        seen = np.flatnonzero(np.isfinite(where[:, point, 0]))
        first = int(rng.integers(lives)) if lives else 0  # not all are lost at once
        for part in np.split(seen, range(first, len(seen), lives or len(c2w))):
            if len(part) < 2:
                continue
            tracks.append(np.full(len(part), len(moving)))
            frames.append(part)
            xys.append(where[part, point])
            moving.append(point >= points)
    return (
        Tracks(
            width=WIDTH,
            height=HEIGHT,
            frame_count=len(c2w),
            track=np.concatenate(tracks).astype(np.int32),
            frame=np.concatenate(frames).astype(np.int32),
            xy=np.concatenate(xys).astype(np.float32),
            fb_error=np.full(sum(map(len, xys)), 0.1, dtype=np.float32),
        ),
        np.array(moving),
    )


def path_error(solve, truth: np.ndarray) -> float:
    """RMS position error after a similarity, as a share of the path's length."""
    s, R, t = umeyama(solve.c2w[:, :3, 3], truth[:, :3, 3])
    aligned = s * solve.c2w[:, :3, 3] @ R.T + t
    path = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()
    return float(np.sqrt(np.mean(np.sum((aligned - truth[:, :3, 3]) ** 2, axis=1))) / path)


def relative_turns(c2w: np.ndarray) -> np.ndarray:
    """Rotations (F, 3, 3) of each frame against the first, in the first camera's axes."""
    return np.einsum("ji,fjk->fik", c2w[0, :3, :3], c2w[:, :3, :3])


def turn_error_deg(a: np.ndarray, b: np.ndarray) -> float:
    """Largest angle in degrees between two sequences of rotations (F, 3, 3)."""
    trace = np.einsum("fij,fij->f", a, b)
    return float(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))).max())
