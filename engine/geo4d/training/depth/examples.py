"""Training examples: the engine's own multi-view code run on procedural clips, and the truth beside it.

Cameras and solved points are those of the clip with errors like a solve's, so that the network learns what to
believe of maps made with slightly wrong cameras.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ...matchmove.solve import POSE_SOLVED, Solve
from ...multiview.depth import DepthMaker
from ...multiview.network import LearnedDepth
from ...multiview.network_input import unfold
from ...multiview.working_frames import WorkingFrames
from ...scene.checkpoint import save_arrays
from ...tracking.tracks import Tracks
from ..scenes import Clips, make_clips

SIZES = ((320, 192), (192, 288), (256, 192), (384, 224))  # (w, h), multiples of the network's
SIZE_SHARES = (0.5, 0.2, 0.2, 0.1)
MOTIONS = ("hand-held", "dolly", "pan", "drone", "vehicle")  # a camera that does not travel measures no depth
MOTION_SHARES = (0.4, 0.2, 0.12, 0.13, 0.15)
BLUR_SAMPLES, BLUR_SHARES = (1, 3), (0.6, 0.4)
EXPLAINED_PX = 0.8  # root mean square error below which a solve takes a track for a static point's


@dataclass
class Example:
    """One frame; H, W multiples of 32. Stored as half precision, see :func:`save`."""

    maps: np.ndarray  # (35, H / 2, W / 2) as multiview.network_input
    sweep: np.ndarray  # (33, H / 4, W / 4) as multiview.plane_sweep
    base: np.ndarray  # (4, H / 2, W / 2) untrained log inverse depth minus its median, unfolded
    target: np.ndarray  # (4, H / 2, W / 2) true log inverse depth minus the same median
    moving: np.ndarray  # (4, H / 2, W / 2) bool
    valid: np.ndarray  # (4, H / 2, W / 2) bool: not the sky


def examples_of_seed(seed: int, frames: int = 9, keep: int = 4) -> list[Example]:
    """Examples of the procedural clip of one seed; empty where the camera's path gives no parallax."""
    rng = np.random.default_rng([seed, 7])
    width, height = SIZES[rng.choice(len(SIZES), p=SIZE_SHARES)]
    motion = str(rng.choice(MOTIONS, p=MOTION_SHARES))
    movers = rng.random() < 0.75
    # Motion blur costs a rendering a sample; most clips go without.
    samples = int(rng.choice(BLUR_SAMPLES, p=BLUR_SHARES))
    clips = make_clips([seed], frames, height, width, 12.0, motion=motion, movers=movers, samples=samples)
    return examples_of_clip(clips, rng, keep)


def examples_of_clip(clips: Clips, rng: np.random.Generator, keep: int) -> list[Example]:
    """Examples of ``keep`` frames spread over the first clip of ``clips``."""
    depth = clips.depth[0].numpy()
    maker = depth_maker(clips, rng)
    out = []
    for i in np.unique(np.linspace(0, len(depth) - 1, keep).round().astype(int)):
        composition = maker.composition(int(i))
        if composition is None or not np.isfinite(composition.d).all():
            continue
        tensors, swept = maker.network_tensors(int(i), composition)
        target = np.log(1 / depth[i]) - tensors.level
        out.append(
            Example(
                tensors.maps,
                swept,
                unfold(tensors.base),
                unfold(np.clip(target, -5, 5).astype(np.float32)),
                unfold(clips.moving[0, i].numpy()),
                unfold(~clips.sky[0, i].numpy()),
            )
        )
    return out


def depth_maker(clips: Clips, rng: np.random.Generator, network: LearnedDepth | None = None) -> DepthMaker:
    """The engine's depth of the first clip of ``clips``, with cameras and solved points as a solve leaves them."""
    depth = clips.depth[0].numpy()
    count, height, width = depth.shape
    c2w, K = disturbed_cameras(clips.c2w[0].numpy(), clips.K[0].numpy(), float(np.median(depth)), rng)
    tracks = true_tracks(clips, c2w, K, rng)
    solve = _solve(c2w, K, width, height, tracks)
    lenses = [solve.lens(i) for i in range(count)]
    frames = WorkingFrames(clips.rgb[0].numpy(), lenses, c2w, np.ones((height, width), dtype=bool))
    return DepthMaker(frames, solve, tracks, clips.times, network)


def disturbed_cameras(c2w: np.ndarray, K: np.ndarray, depth: float, rng: np.random.Generator):
    """Poses (F, 4, 4) and K (F, 3, 3) with errors of the size that a solve leaves.

    Errors are told in pixels at the scene's usual ``depth``: some that differ from frame to frame, some that
    drift slowly over the clip.
    """
    count, focal = len(c2w), K[:, 0, 0].mean()
    size = np.exp(rng.uniform(np.log(0.01), np.log(0.25)))  # pixels
    slow = np.sin(np.linspace(0, rng.uniform(1, 6), count) + rng.uniform(0, 6))[:, None]
    turn = (rng.normal(0, 0.5, (count, 3)) + slow * rng.normal(0, 1, 3)) * size / focal
    shift = (rng.normal(0, 0.5, (count, 3)) + slow * rng.normal(0, 1, 3)) * size / focal * depth
    out, K = c2w.copy(), K.copy()
    for f in range(count):
        out[f, :3, :3] = c2w[f, :3, :3] @ cv2.Rodrigues(turn[f])[0]
        out[f, :3, 3] += shift[f]
    K[:, 0, 0] *= 1 + rng.normal(0, 0.004)
    K[:, 1, 1] = K[:, 0, 0]
    return out, K


def true_tracks(clips: Clips, c2w: np.ndarray, K: np.ndarray, rng: np.random.Generator, per_frame: int = 120) -> Tracks:
    """Long tracks of corners, followed by what is true of their surfaces, with the errors that trackers make."""
    depth, part, moving = clips.depth[0].numpy(), clips.part[0].numpy(), clips.moving[0].numpy()
    # What is seen through a window is not on the pane, and where it is nobody knows here.
    window = clips.sky[0].numpy() & (clips.place[0] == "room")
    points, to_world = clips.points[0].numpy(), clips.to_world[0].numpy()
    true_c2w, true_K = clips.c2w[0].numpy(), clips.K[0].numpy()
    count, height, width = depth.shape
    rows: list[tuple[np.ndarray, ...]] = []
    static, xyz = [], []
    for start in np.unique(np.linspace(0, count - 1, 4).round().astype(int)):
        gray = cv2.cvtColor(clips.rgb[0, start].numpy(), cv2.COLOR_RGB2GRAY)
        quality = float(np.exp(rng.uniform(np.log(0.002), np.log(0.03))))
        corners = cv2.goodFeaturesToTrack(gray, per_frame, quality, 6)
        for x, y in corners.reshape(-1, 2).astype(int) if corners is not None else ():
            p = part[start, y, x]
            if window[start, y, x]:
                continue
            if moving[start, y, x]:
                T = to_world[:, p].astype(np.float64)
                local = np.linalg.solve(T[start, :, :3], points[start, y, x] - T[start, :, 3])
                path = T[:, :, :3] @ local + T[:, :, 3]
            else:
                path = np.repeat(points[start, y, x][None].astype(np.float64), count, 0)
            camera = np.einsum("fji,fj->fi", true_c2w[:, :3, :3], path - true_c2w[:, :3, 3])
            z = np.maximum(camera[:, 2], 1e-6)
            xy = camera[:, :2] / z[:, None] * true_K[:, [0, 1], [0, 1]] + true_K[:, :2, 2]
            inside = (camera[:, 2] > 0.01) & np.all((xy >= 0) & (xy < [width, height]), axis=1)
            at = np.clip(xy, 0, [width - 1, height - 1]).astype(int)
            seen = inside & (np.abs(depth[np.arange(count), at[:, 1], at[:, 0]] / z - 1) < 0.03)
            frames = np.flatnonzero(seen)
            if len(frames) < 3:
                continue
            drift = rng.normal(0, 1.5, 2) / count if rng.random() < 0.05 else np.zeros(2)
            noise = rng.normal(0, 0.2, (len(frames), 2)) + drift * (frames - start)[:, None]
            rows.append((np.full(len(frames), len(static)), frames, xy[frames] + noise))
            base = np.linalg.norm(true_c2w[frames, :3, 3] - true_c2w[frames[0], :3, 3], axis=1).max()
            solved = base / z[frames].mean() * true_K[0, 0, 0] > 3.0
            point = None
            if solved and moving[start, y, x]:
                point = _as_if_static(rows[-1][2], c2w[frames], K[frames])
            elif solved:
                # Along the ray a point is as uncertain as its parallax is small.
                along = rng.normal(0, 0.3) / max(true_K[0, 0, 0] * base, 1e-9)
                ray = path[frames[0]] - true_c2w[frames[0], :3, 3]
                far = 1 / max(1 / z[frames[0]] + along, 0.2 / z[frames[0]]) / z[frames[0]]
                point = true_c2w[frames[0], :3, 3] + ray * far
            static.append(point is not None)
            xyz.append(np.full(3, np.nan) if point is None else point)
    if not rows:
        empty = np.zeros(0, np.int32)
        return Tracks(width, height, count, empty, empty, np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    track, frame, xy = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Tracks(
        width,
        height,
        count,
        track.astype(np.int32),
        frame.astype(np.int32),
        xy.astype(np.float32),
        np.zeros(len(track), np.float32),
        static=np.array(static),
        xyz=np.array(xyz),
    )


def _as_if_static(xy: np.ndarray, c2w: np.ndarray, K: np.ndarray) -> np.ndarray | None:
    """The world point (3,) that a solve takes a mover's track (n, 2) for; None where no static point explains it.

    What goes the camera's own way, or comes towards it, leaves the track of a point that rests elsewhere.
    """
    ray = np.concatenate([(xy - K[:, :2, 2]) / K[:, [0, 1], [0, 1]], np.ones((len(xy), 1))], axis=1)
    ray = np.einsum("fij,fj->fi", c2w[:, :3, :3], ray)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    across = np.eye(3) - ray[:, :, None] * ray[:, None, :]
    normal = across.sum(0)
    if np.linalg.cond(normal) > 1e8:
        return None
    point = np.linalg.solve(normal, np.einsum("fij,fj->i", across, c2w[:, :3, 3]))
    camera = np.einsum("fji,fj->fi", c2w[:, :3, :3], point - c2w[:, :3, 3])
    if camera[:, 2].min() <= 0:
        return None
    seen = camera[:, :2] / camera[:, 2:] * K[:, [0, 1], [0, 1]] + K[:, :2, 2]
    off = np.linalg.norm(seen - xy, axis=1)
    return point if np.sqrt(np.mean(off**2)) < EXPLAINED_PX else None


def _solve(c2w: np.ndarray, K: np.ndarray, width: int, height: int, tracks: Tracks) -> Solve:
    count = len(c2w)
    points = tracks.xyz[np.isfinite(tracks.xyz[:, 0])]
    return Solve(
        width=width,
        height=height,
        motion="moving",
        c2w=c2w,
        fx=K[:, 0, 0],
        fy=K[:, 1, 1],
        cx=K[:, 0, 2],
        cy=K[:, 1, 2],
        k1=0.0,
        pose_source=np.full(count, POSE_SOLVED, np.uint8),
        reprojection_error_px=np.zeros(count, np.float32),
        points=points,
        points_rgb=np.zeros((len(points), 3), np.uint8),
        points_error_px=np.zeros(len(points), np.float32),
    )


def make_file(path, seed: int) -> bool:
    """Examples of one seed to one .npz; False where it yields none."""
    found = examples_of_seed(seed)
    if found:
        save(path, found)
    return bool(found)


def save(path, examples: list[Example]) -> None:
    """Examples of one clip to one .npz, atomically, in half precision."""
    stacked = {name: np.stack([getattr(e, name) for e in examples]) for name in Example.__dataclass_fields__}
    save_arrays(path, **{k: v if v.dtype == bool else v.astype(np.float16) for k, v in stacked.items()})


def load(path) -> dict[str, np.ndarray]:
    """Arrays of :class:`Example` with a leading axis of examples."""
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in Example.__dataclass_fields__}
