"""Depth maps as coloured points, with the colours of the footage where it can still be read."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import FootageError
from ..footage import open_footage
from ..geometry.camera import Intrinsics, distort, pixel_grid, unproject
from ..scene.depth_file import read_depth
from ..scene.reader import Scene
from .options import ExportOptions

_GRAY = 160


@dataclass
class FramePoints:
    """P points of one frame."""

    xyz: np.ndarray  # (P, 3) float32, the scene's world
    rgb: np.ndarray  # (P, 3) uint8, sRGB
    confidence: np.ndarray  # (P,) float32 0..1
    dynamic: np.ndarray  # (P,) float32 probability 0..1 of motion in the world
    width: np.ndarray  # (P,) float32, diameter in world units at which neighbouring points touch


def frame_points(scene: Scene, options: ExportOptions, progress) -> Iterator[tuple[int, FramePoints]]:
    """Points of every frame in turn, with its shot position; nothing for a scene without depth.

    Warns once if the footage cannot be read; the points are grey then.
    """
    if not scene.has_depth or not options.depth_points:
        return
    for position, image in enumerate(plate_frames(scene, progress)):
        yield position, points_of_frame(scene, position, image, options)
        progress.advance("export", position + 1, len(scene))


def points_of_frame(scene: Scene, position: int, image: np.ndarray | None, options: ExportOptions) -> FramePoints:
    """Every ``stride``-th depth pixel, lifted; ``image`` is the frame as filmed, uint8 (H, W, 3) RGB, or None."""
    frame = read_depth(scene.depth_path(position))
    height, width = frame.depth.shape
    filmed = lens_of(scene, position)
    lens = filmed.pinhole().scaled(width, height)
    half = options.stride // 2
    grid = (slice(half, None, options.stride), slice(half, None, options.stride))
    pixels, depth, confidence = pixel_grid(width, height)[grid], frame.depth[grid], frame.confidence[grid]
    keep = (depth > 0) & (confidence >= options.min_confidence)
    pixels, depth = pixels[keep], depth[keep]
    return FramePoints(
        xyz=unproject(pixels, depth.astype(np.float64), scene.c2w[position], lens).astype(np.float32),
        rgb=plate_colours(image, pixels, lens, filmed),
        confidence=confidence[keep],
        dynamic=frame.dynamic[grid][keep],
        width=(depth * options.stride / lens.fx).astype(np.float32),
    )


def plate_colours(image: np.ndarray | None, pixels: np.ndarray, lens: Intrinsics, filmed: Intrinsics) -> np.ndarray:
    """Colours (P, 3) uint8 that the frame as filmed has at ``pixels`` (P, 2) of the undistorted depth map."""
    if image is None:
        return np.full((len(pixels), 3), _GRAY, dtype=np.uint8)
    normalised = distort((pixels - [lens.cx, lens.cy]) / [lens.fx, lens.fy], filmed.k1)
    xy = np.floor(normalised * [filmed.fx, filmed.fy] + [filmed.cx, filmed.cy]).astype(np.int64)
    return image[np.clip(xy[:, 1], 0, image.shape[0] - 1), np.clip(xy[:, 0], 0, image.shape[1] - 1)]


def plate_frames(scene: Scene, progress) -> Iterator[np.ndarray | None]:
    """The footage's frames in shot order, or None for each once the footage cannot be read (one warning)."""
    given = 0
    try:
        first, last = int(scene.index[0]), int(scene.index[-1])
        step = int(scene.footage.get("step", 1))
        shot = open_footage(scene.footage["path"], first=first, last=last, step=step)
        if not np.array_equal(shot.indices, scene.index) or (shot.width, shot.height) != (scene.width, scene.height):
            raise FootageError("footage_changed", f"{shot.path} is not the footage that the scene was made from.")
        for image in shot.read():
            yield image
            given += 1
    except FootageError as error:
        progress.warn("plate_unreadable", f"Points have no colours: {error.message}", error.hint)
    for _ in range(given, len(scene)):
        yield None


def lens_of(scene: Scene, position: int) -> Intrinsics:
    """Lens of the frame at a shot position, footage resolution."""
    fx, fy, cx, cy = (float(values[position]) for values in (scene.fx, scene.fy, scene.cx, scene.cy))
    return Intrinsics(scene.width, scene.height, fx, fy, cx, cy, scene.k1)


def static_points(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """xyz (P, 3) float32, rgb (P, 3) uint8, confidence (P,) of the static cloud; empty if the scene has none."""
    try:
        return scene.points()
    except FileNotFoundError:
        return np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), np.empty(0, np.float32)
