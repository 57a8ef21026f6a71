"""A small scene with exact geometry, for every test that reads scenes."""

import cv2
import numpy as np
from geo4d.footage import open_footage
from geo4d.geometry.camera import Intrinsics, camera_rays, pixel_grid, project
from geo4d.geometry.rotation import rotation_matrices
from geo4d.matchmove.solve import Solve
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.scene.depth_file import write_depth
from geo4d.scene.reader import read_scene
from geo4d.scene.writer import SceneInfo, write_scene
from geo4d.tracking.tracks import Tracks

FIRST, COUNT, STEP = 3, 6, 2
WALL_Z = 6.0  # the whole world is the plane z = 6


def colour_picture(width, height):
    """A picture whose colour tells the place."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 77)], axis=-1).astype(np.uint8)


def wall_depth(lens, c2w):
    """Exact z-depth (h, w) of the wall at the pixels of ``lens``."""
    rays = camera_rays(pixel_grid(lens.width, lens.height), lens) @ c2w[:3, :3].T
    return ((WALL_Z - c2w[2, 3]) / rays[..., 2]).astype(np.float32)


def make_scene(folder, width=120, height=90, k1=-0.08, zoom=True, depth_size=None):
    """Write footage and a scene of it under ``folder``; returns the scene as read back."""
    rng = np.random.default_rng(5)
    (folder / "plate").mkdir(parents=True)
    for number in range(FIRST + COUNT * STEP):
        cv2.imwrite(str(folder / "plate" / f"{number:04d}.png"), colour_picture(width, height)[..., ::-1])
    shot = open_footage(folder / "plate", first=FIRST, last=FIRST + (COUNT - 1) * STEP, step=STEP, fps=25)
    c2w = np.tile(np.eye(4), (COUNT, 1, 1))
    c2w[:, :3, :3] = rotation_matrices(np.column_stack([np.ones(COUNT), 0.1 * rng.normal(size=(COUNT, 3))]))
    c2w[:, :3, 3] = np.cumsum(0.2 * rng.normal(size=(COUNT, 3)), axis=0)
    focal = 100.0 + (2.0 * np.arange(COUNT) if zoom else np.zeros(COUNT))
    xyz = np.column_stack([rng.uniform(-2, 2, (40, 2)), np.full(40, WALL_Z)])
    solve = Solve(
        width=width,
        height=height,
        motion="moving",
        c2w=c2w,
        fx=focal,
        fy=focal * (1.01 if zoom else 1.0),
        cx=np.full(COUNT, 0.53 * width),
        cy=np.full(COUNT, 0.46 * height),
        k1=k1,
        pose_source=np.zeros(COUNT, np.uint8),
        reprojection_error_px=np.full(COUNT, 0.3, np.float32),
        points=xyz,
        points_rgb=rng.integers(0, 256, (40, 3)).astype(np.uint8),
        points_error_px=np.full(40, 0.3, np.float32),
        up=np.array([0.1, -0.98, 0.05]) / np.linalg.norm([0.1, -0.98, 0.05]),
    )
    rows = []
    for frame in range(COUNT):
        xy, _ = project(xyz, c2w[frame], solve.lens(frame))
        inside = ((xy > 0) & (xy < [width, height])).all(axis=1)
        rows += [(point, frame, *xy[point]) for point in np.flatnonzero(inside)]
    rows = np.array(sorted(rows))
    tracks = Tracks(
        width=width,
        height=height,
        frame_count=COUNT,
        track=rows[:, 0].astype(np.int32),
        frame=rows[:, 1].astype(np.int32),
        xy=rows[:, 2:].astype(np.float32),
        fb_error=np.zeros(len(rows), np.float32),
        static=np.ones(40, bool),
        xyz=xyz,
        error_px=np.full(40, 0.3, np.float32),
    )
    w, h = depth_size or (width // 2, height // 2)
    target = folder / "scene"
    (target / "depth").mkdir(parents=True)
    for frame in range(COUNT):
        depth = wall_depth(solve.lens(frame).pinhole().scaled(w, h), c2w[frame])
        confidence = np.full((h, w), 0.75, np.float32)
        confidence[: h // 3] = 0.25
        dynamic = np.zeros((h, w), np.float32)
        write_depth(target / "depth" / f"{int(shot.indices[frame]):04d}.exr", DepthFrame(depth, confidence, dynamic))
    info = SceneInfo(
        model={"name": "tracks", "weights": None, "licence": "GPL-3.0-or-later", "commercial_use": True},
        depth_size=(w, h),
        depth_measured=True,
        cache_key="0",
        footage_hash=shot.content_hash(),
        step=STEP,
    )
    write_scene(target, shot, solve, tracks, info)
    return read_scene(target)


def scene_projection(scene, position, xyz, distorted=True):
    """Pixels (N, 2) of world points (N, 3) by the scene's own camera, and their depth (N,)."""
    fx, fy, cx, cy = (float(v[position]) for v in (scene.fx, scene.fy, scene.cx, scene.cy))
    lens = Intrinsics(scene.width, scene.height, fx, fy, cx, cy, scene.k1 if distorted else 0.0)
    return project(xyz, scene.c2w[position], lens)
