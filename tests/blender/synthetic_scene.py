"""Scene folders with known content, written with Blender and NumPy alone."""

import json
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np


@dataclass
class Lens:
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    k1: float = 0.0
    zoom: float = 1.0  # fx and fy at the last frame, times those of the first


LENSES = {
    "landscape": Lens(640, 360, 600.0, 600.0, 320.0, 180.0),
    "portrait": Lens(360, 640, 520.0, 520.0, 181.5, 318.25),
    "off_centre": Lens(640, 360, 700.0, 700.0, 280.0, 215.0),
    "anamorphic": Lens(640, 360, 600.0, 480.0, 300.0, 190.0),
    "wide_pixels": Lens(640, 360, 480.0, 600.0, 333.0, 171.0),
    "zoom": Lens(640, 360, 500.0, 500.0, 310.0, 186.0, zoom=1.6),
    "distorted": Lens(640, 360, 560.0, 560.0, 325.0, 176.0, k1=-0.08),
}


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def poses(count: int) -> np.ndarray:
    """Hand-held-like camera-to-world matrices (count, 4, 4) with rotations about every axis."""
    out = np.tile(np.eye(4), (count, 1, 1))
    for i in range(count):
        t = i / max(count - 1, 1)
        out[i, :3, :3] = rotation(np.array([0.3, 1.0, 0.2]), 2.2 * t - 0.3) @ rotation(np.array([1.0, 0, 0]), 0.25)
        out[i, :3, 3] = [1.5 * np.sin(3 * t), -0.3 * t, 2.0 * t]
    return out


def depth_maps(index: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth, confidence and motion probability (height, width) float32 that differ from pixel to pixel and frame."""
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    depth = (2.0 + 0.01 * u + 0.02 * v + 0.5 * index + 0.3 * np.sin(u * 0.7) * np.cos(v * 0.4)).astype(np.float32)
    depth[(u + 3 * v + index) % 17 == 0] = 0.0
    # Values that half floats hold exactly.
    confidence = (((u + v + index) % 65) / 64).astype(np.float32)
    dynamic = (((u // 4 + index) % 5) / 4).astype(np.float32)
    return depth, confidence, dynamic


def write_exr(path: Path, channels: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """RGB float EXR of three maps (height, width), through Blender."""
    height, width = channels[0].shape
    image = bpy.data.images.new("write", width, height, float_buffer=True, alpha=False)
    image.colorspace_settings.name = "Non-Color"
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = np.stack(channels, -1)
    image.pixels.foreach_set(rgba[::-1].ravel())
    image.file_format = "OPEN_EXR"
    image.filepath_raw = str(path)
    image.save()
    bpy.data.images.remove(image)


def write_plate(folder: Path, lens: Lens, indices: range, first_number: int = 1) -> Path:
    """Image sequence whose colour tells pixel and frame: red across, green down, blue by frame (8 bit sRGB)."""
    folder.mkdir(parents=True)
    for index in indices:
        image = bpy.data.images.new("write", lens.width, lens.height, alpha=False)
        rgba = np.ones((lens.height, lens.width, 4), np.float32)
        rgba[..., 0] = np.linspace(0, 1, lens.width)
        rgba[..., 1] = np.linspace(0, 1, lens.height)[:, None]
        rgba[..., 2] = (index % 8) / 8
        image.pixels.foreach_set(rgba[::-1].ravel())
        image.file_format = "PNG"
        image.filepath_raw = str(folder / f"plate_{first_number + index:04d}.png")
        image.save()
        bpy.data.images.remove(image)
    return folder


def write_scene(
    folder: Path,
    lens: Lens,
    indices: list[int],
    depth_size: tuple[int, int] = (0, 0),
    footage: str = "/absent/clip.mp4",
    scale: str = "metric",
    fps: float = 24.0,
    point_count: int = 400,
) -> dict[str, np.ndarray]:
    """Write a scene folder; returns its static points, poses and focal lengths."""
    folder.mkdir(parents=True)
    c2w = poses(len(indices))
    zoom = np.linspace(1.0, lens.zoom, len(indices))
    rng = np.random.default_rng(7)
    # Points in front of the cameras, spread over the picture.
    owner = rng.integers(0, len(indices), point_count)
    z = rng.uniform(1.5, 12.0, point_count)
    x = (rng.uniform(0, lens.width, point_count) - lens.cx) / lens.fx * z
    y = (rng.uniform(0, lens.height, point_count) - lens.cy) / lens.fy * z
    local = np.stack([x, y, z, np.ones(point_count)], -1)
    xyz = np.einsum("nij,nj->ni", c2w[owner], local)[:, :3].astype(np.float32)
    rgb = rng.integers(0, 256, (point_count, 3), dtype=np.uint8)
    np.savez(folder / "points.npz", xyz=xyz, rgb=rgb, confidence=rng.random(point_count, dtype=np.float32))
    w, h = depth_size
    if w:
        (folder / "depth").mkdir()
        for index in indices:
            write_exr(folder / "depth" / f"{index:04d}.exr", depth_maps(index, w, h))
    frames = [
        {
            "index": index,
            "time": index / fps,
            "c2w": c2w[i].tolist(),
            "fx": lens.fx * zoom[i],
            "fy": lens.fy * zoom[i],
            "cx": lens.cx,
            "cy": lens.cy,
            "pose": "solved",
            "reprojection_error_px": 0.1,
        }
        for i, index in enumerate(indices)
    ]
    data = {
        "format": "geo4d-scene",
        "version": 1,
        "engine": {"name": "geo4d", "version": "0.1.0"},
        "model": {"name": "tracks", "weights": None, "licence": "GPL-3.0-or-later", "commercial_use": True},
        "footage": {"path": footage, "width": lens.width, "height": lens.height, "fps": fps},
        "motion": "moving",
        "scale": scale,
        "up": [0.0, -1.0, 0.0],
        "lens": {"model": "SIMPLE_RADIAL", "k1": lens.k1},
        "depth": {"width": w, "height": h, "measured": True} if w else None,
        "frames": frames,
    }
    (folder / "scene.json").write_text(json.dumps(data), encoding="utf-8")
    return {"xyz": xyz.astype(np.float64), "rgb": rgb, "c2w": c2w, "zoom": zoom}
