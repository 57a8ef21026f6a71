"""Turn a scene folder into Blender data: camera, plate, animated points, static cloud, under one parent empty."""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import numpy as np

from . import cloud, depth_points, placement, plate
from .camera import DEFAULT_SENSOR_MM, BlenderCamera, new_camera
from .compat import scene_reader

ROOT = "Geo4D"
QUALITY = "geo4d_quality"  # property of the parent: what the panel says of the camera, a line each


@dataclass
class ImportOptions:
    """What of a scene to bring in, and where on the timeline."""

    start_frame: int = 1  # scene frame of footage frame 0
    sensor_width_mm: float = DEFAULT_SENSOR_MM
    footage: Path | None = None  # instead of the path noted in the scene
    plate: bool = True
    undistort_plate: bool = True
    depth_points: bool = True
    static_cloud: bool = True
    set_scene: bool = True  # range, frame rate, resolution, active camera


@dataclass
class Imported:
    """The objects of one imported scene, and what the user should know."""

    root: bpy.types.Object
    camera: bpy.types.Object
    points: bpy.types.Object | None = None
    cloud: bpy.types.Object | None = None
    clip: bpy.types.MovieClip | None = None
    warnings: list[str] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)


def summarise(scene, sensor_width_mm: float) -> list[str]:
    """How good ``scene`` is, in a few lines for people."""
    lines = quality_lines(scene)
    measured = sum(pose in ("solved", "resected", "held") for pose in scene.pose)
    lines.append(f"{len(scene)} cameras, {len(scene) - measured} of them interpolated")
    if scene.quality is None and np.isfinite(scene.reprojection_error_px).any():
        lines.append(f"Reprojection error {np.nanmedian(scene.reprojection_error_px):.2f} px (median)")
    focal_mm = scene.fx / scene.width * sensor_width_mm
    low, high = focal_mm.min(), focal_mm.max()
    focal = f"{low:.1f}" if high - low < 0.05 else f"{low:.1f} to {high:.1f}"
    lines.append(f"Focal length {focal} mm on a {sensor_width_mm:g} mm wide sensor")
    return lines


def quality_lines(scene) -> list[str]:
    """The shot's grade with its error, and the reason where it is not good; nothing for a scene without a grade."""
    quality = scene.quality
    if quality is None:
        return []
    error = quality["reprojection_error_px"]
    lines = [f"Camera: {quality['grade']}" + (f", {error:.2f} px" if error is not None else "")]
    return [*lines, quality["reason"]] if quality["reason"] else lines


def import_scene(folder: str | Path, blender_scene: bpy.types.Scene, options: ImportOptions) -> Imported:
    """Bring the scene in ``folder`` into ``blender_scene``. Raises SceneError if it cannot be read."""
    steps = import_steps(folder, blender_scene, options)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def import_steps(
    folder: str | Path, blender_scene: bpy.types.Scene, options: ImportOptions
) -> Generator[None, None, Imported]:
    """:func:`import_scene` in steps that each hold Blender only briefly; the generator returns what was imported."""
    scene = scene_reader.read_scene(folder)
    frames = options.start_frame + scene.index.astype(np.float64)
    yield
    xyz, rgb, confidence = _points(scene)
    collection = bpy.data.collections.new(f"{ROOT} {scene.folder.name}")
    blender_scene.collection.children.link(collection)
    root = bpy.data.objects.new(f"{ROOT} {scene.folder.name}", None)
    root.empty_display_type = "ARROWS"
    root.matrix_world = placement.root_matrix(scene, xyz)
    root["geo4d_scene"] = str(scene.folder)
    root[QUALITY] = "\n".join(quality_lines(scene))
    camera, solved = new_camera(f"{ROOT} Camera", scene, frames, options.sensor_width_mm)
    imported = Imported(root, camera, summary=summarise(scene, options.sensor_width_mm))
    _adopt(collection, root, root)
    _adopt(collection, root, camera)
    yield
    footage = options.footage or Path(scene.footage["path"])
    has_footage = plate.first_file(footage)[0].is_file()
    if not has_footage:
        imported.warnings.append(f"The footage {footage} is gone: there is no plate and the points are grey.")
    if options.plate and has_footage:
        imported.clip = _add_plate(scene, camera, footage, options, imported.warnings)
    yield
    # Before the animated points: making a point cloud may evaluate everything that is there already.
    if options.static_cloud and len(xyz):
        imported.cloud = cloud.new_static_cloud(
            f"{ROOT} Static", xyz, rgb, confidence, blender_scene, depth_points.MATERIAL, depth_points.COLOR
        )
        _adopt(collection, root, imported.cloud)
        yield
    if options.depth_points and scene.has_depth:
        yield from depth_points.node_group_steps()
        yield
        colour = plate.load_plate_image(footage) if has_footage else None
        imported.points, pose = depth_points.new_depth_points(
            f"{ROOT} Depth", scene, solved, frames, options.start_frame, colour
        )
        _adopt(collection, root, pose)
        _adopt(collection, root, imported.points)
        yield
    if options.set_scene:
        set_scene(blender_scene, scene, solved, frames)
        blender_scene.camera = camera
    _set_clipping(camera, root, scene, xyz)
    return imported


def set_scene(blender_scene: bpy.types.Scene, scene, solved: BlenderCamera, frames: np.ndarray) -> None:
    """Frame range, rate, resolution and pixel aspect of the shot."""
    render = blender_scene.render
    render.resolution_x, render.resolution_y = scene.width, scene.height
    render.resolution_percentage = 100
    render.pixel_aspect_x, render.pixel_aspect_y = solved.pixel_aspect_x, solved.pixel_aspect_y
    render.fps = max(1, round(scene.fps))
    render.fps_base = render.fps / scene.fps
    blender_scene.frame_start, blender_scene.frame_end = int(frames[0]), int(frames[-1])
    blender_scene.frame_set(blender_scene.frame_start)


def _points(scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The static cloud, empty where the scene has none."""
    if not (scene.folder / "points.npz").is_file():
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32)
    return scene.points()


def _adopt(collection: bpy.types.Collection, root: bpy.types.Object, child: bpy.types.Object) -> None:
    """Put ``child`` into the collection and under the parent empty, which holds ground, scale and origin."""
    collection.objects.link(child)
    if child is not root:
        child.parent = root


def _add_plate(scene, camera, footage: Path, options: ImportOptions, warnings: list[str]) -> bpy.types.MovieClip:
    clip = plate.load_clip(footage, scene, options.start_frame)
    plate.set_background(camera, clip, options.undistort_plate and scene.k1 != 0)
    if tuple(clip.size) != (scene.width, scene.height):
        warnings.append(
            f"Blender shows the footage as {clip.size[0]} x {clip.size[1]}, it was solved as "
            f"{scene.width} x {scene.height}: the plate will not line up."
        )
    return clip


def _set_clipping(camera, root, scene, xyz: np.ndarray) -> None:
    """Let the camera see from a hundredth of the nearest to ten times the farthest static point."""
    if not len(xyz):
        return
    distance = np.linalg.norm(xyz - np.median(scene.c2w[:, :3, 3], axis=0), axis=1) * root.matrix_world.median_scale
    near, far = np.percentile(distance, [1, 99])
    camera.data.clip_start = max(1e-4, min(camera.data.clip_start, near / 100))
    camera.data.clip_end = max(camera.data.clip_end, far * 10)
