"""The animated Blender camera of a reconstruction, and the one function that turns an OpenCV camera into it."""

from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from .compat import channelbag

DEFAULT_SENSOR_MM = 36.0

# OpenCV cameras look along +Z with Y down, Blender's along -Z with Y up.
OPENCV_TO_BLENDER = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass
class BlenderCamera:
    """Cameras of F frames in Blender's terms, poses relative to the reconstruction's own (OpenCV) world."""

    location: np.ndarray  # (F, 3)
    quaternion: np.ndarray  # (F, 4) as (w, x, y, z), neighbours on the same side
    lens_mm: np.ndarray  # (F,)
    shift_x: np.ndarray  # (F,)
    shift_y: np.ndarray  # (F,)
    sensor_width_mm: float
    pixel_aspect_x: float
    pixel_aspect_y: float


def blender_camera(scene, sensor_width_mm: float = DEFAULT_SENSOR_MM) -> BlenderCamera:
    """Turn the OpenCV cameras of ``scene`` (scene reader's Scene, F frames) into Blender's.

    Blender knows one focal length in millimetres on a sensor fitted to the image's width, a shift in widths, and
    one pixel aspect a scene; the latter carries fx / fy, which no lens changes over time. Lens distortion is not
    part of Blender's camera: the plate is undistorted instead.
    """
    W, H = scene.width, scene.height
    aspect = float(np.median(scene.fx / scene.fy))
    quaternion = np.empty((len(scene), 4))
    previous = None
    for i, pose in enumerate(scene.c2w @ OPENCV_TO_BLENDER):
        q = Matrix(pose[:3, :3].tolist()).to_quaternion()
        if previous is not None and q.dot(previous) < 0:
            q = Quaternion((-q.w, -q.x, -q.y, -q.z))
        quaternion[i] = previous = q
    return BlenderCamera(
        location=scene.c2w[:, :3, 3].copy(),
        quaternion=quaternion,
        lens_mm=scene.fx / W * sensor_width_mm,
        shift_x=(W / 2 - scene.cx) / W,
        shift_y=(scene.cy - H / 2) * aspect / W,
        sensor_width_mm=sensor_width_mm,
        pixel_aspect_x=1.0 if aspect >= 1 else 1.0 / aspect,
        pixel_aspect_y=aspect if aspect >= 1 else 1.0,
    )


def set_keyframes(bag, path: str, index: int, frames: np.ndarray, values: np.ndarray, interpolation: str) -> None:
    """Write one f-curve in bulk: ``frames`` (F,), ``values`` (F,); the curve holds its ends."""
    keys = RNA_INTERPOLATION[interpolation]
    curve = bag.fcurves.new(path, index=index)
    curve.keyframe_points.add(len(frames))
    curve.keyframe_points.foreach_set("co", np.column_stack([frames, values]).astype(np.float32).ravel())
    curve.keyframe_points.foreach_set("interpolation", np.full(len(frames), keys, dtype=np.int32))
    curve.update()


# foreach_set wants the numbers behind the names.
_INTERPOLATIONS = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items
RNA_INTERPOLATION = {name: _INTERPOLATIONS[name].value for name in ("CONSTANT", "LINEAR")}


def set_pose_keyframes(target: bpy.types.Object, camera: BlenderCamera, frames: np.ndarray, interpolation: str) -> None:
    """Key location and rotation of ``target`` at scene frames (F,)."""
    target.rotation_mode = "QUATERNION"
    bag = channelbag(target, f"{target.name} Motion")
    for axis in range(3):
        set_keyframes(bag, "location", axis, frames, camera.location[:, axis], interpolation)
    for axis in range(4):
        set_keyframes(bag, "rotation_quaternion", axis, frames, camera.quaternion[:, axis], interpolation)
    target.location = camera.location[0]
    target.rotation_quaternion = camera.quaternion[0]


def new_camera(name: str, scene, frames: np.ndarray, sensor_width_mm: float) -> tuple[bpy.types.Object, BlenderCamera]:
    """Make the animated camera object of ``scene``, keyed at scene frames (F,)."""
    solved = blender_camera(scene, sensor_width_mm)
    data = bpy.data.cameras.new(name)
    data.sensor_fit = "HORIZONTAL"
    data.sensor_width = solved.sensor_width_mm
    data.sensor_height = solved.sensor_width_mm * scene.height / scene.width
    data.lens = float(solved.lens_mm[0])
    data.shift_x = float(solved.shift_x[0])
    data.shift_y = float(solved.shift_y[0])
    lens = {"lens": solved.lens_mm, "shift_x": solved.shift_x, "shift_y": solved.shift_y}
    bag = channelbag(data, f"{name} Lens")
    for path, values in lens.items():
        # A lens that does not change gets one key, which a user can edit like a plain value.
        n = len(frames) if np.ptp(values) > 1e-7 * max(1.0, np.abs(values).max()) else 1
        set_keyframes(bag, path, 0, frames[:n], values[:n], "LINEAR")
    camera = bpy.data.objects.new(name, data)
    set_pose_keyframes(camera, solved, frames, "LINEAR")
    return camera, solved
