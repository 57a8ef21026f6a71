"""Camera paths and keyframes.

A pose is camera-to-world 4x4 with OpenCV axes (x right, y down, z forward) in the scene's metres, z up.
"""

import bpy
import numpy as np
from mathutils import Matrix

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def look_at(position, target, roll_deg=0.0) -> np.ndarray:
    """Pose (4, 4) at ``position`` (3,) that sees ``target`` (3,) in the middle."""
    position = np.asarray(position, float)
    forward = np.asarray(target, float) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    roll = np.radians(roll_deg)
    pose = np.eye(4)
    pose[:3, 0] = np.cos(roll) * right + np.sin(roll) * down
    pose[:3, 1] = np.cos(roll) * down - np.sin(roll) * right
    pose[:3, 2] = forward
    pose[:3, 3] = position
    return pose


def smooth_path(knots, count: int) -> np.ndarray:
    """(count, D) points along a Catmull-Rom spline through ``knots`` (K, D), even in parameter."""
    knots = np.asarray(knots, float)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    s = np.linspace(0, len(knots) - 1, count)
    i = np.minimum(s.astype(int), len(knots) - 2)
    t = (s - i)[:, None]
    a, b, c, d = (padded[i + k] for k in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def hand_shake(count: int, fps: float, amount, rng: np.random.Generator) -> np.ndarray:
    """(count, D) shake of a hand: sway below 1 Hz and tremor up to 5 Hz, ``amount`` (D,) is its spread."""
    time = np.arange(count)[:, None] / fps
    shake = np.zeros((count, len(amount)))
    for low, high, weight in ((0.3, 0.9, 1.0), (1.2, 2.5, 0.35), (3.0, 5.0, 0.12)):
        shake += weight * np.sin(2 * np.pi * (rng.uniform(low, high, len(amount)) * time + rng.random(len(amount))))
    return shake * np.asarray(amount)


def hand_held(positions, targets, fps, rng, shift_m=0.012, aim_m=0.03, roll_deg=0.6) -> np.ndarray:
    """Poses (N, 4, 4) of a hand-held camera that moves along ``positions`` and looks at ``targets``."""
    count = len(positions)
    shake = hand_shake(count, fps, [shift_m] * 3 + [aim_m] * 3 + [roll_deg], rng)
    rows = zip(positions + shake[:, :3], targets + shake[:, 3:6], shake[:, 6], strict=True)
    return np.stack([look_at(p, t, r) for p, t, r in rows])


def key_matrices(obj, matrices, first_frame: int = 0) -> None:
    """Key ``obj`` with world (or parent) matrices (N, 4, 4), one a frame, smooth between.

    Straight lines between keys would bend at every frame, in the middle of the exposure: the blurred picture would
    then lie up to 0.05 px beside the pose of the frame.
    """
    obj.rotation_mode = "QUATERNION"
    before = None
    for i, matrix in enumerate(matrices):
        location, turn, scale = Matrix(matrix.tolist()).decompose()
        if before is not None and turn.dot(before) < 0:
            turn.negate()
        obj.location, obj.rotation_quaternion, obj.scale = location, turn, scale
        obj.keyframe_insert("location", frame=first_frame + i)
        obj.keyframe_insert("rotation_quaternion", frame=first_frame + i)
        before = turn
    action = obj.animation_data.action
    for bag in action.layers[0].strips[0].channelbags:
        for curve in bag.fcurves:
            for key in curve.keyframe_points:
                key.interpolation = "BEZIER"
                key.handle_left_type = key.handle_right_type = "AUTO"
            curve.update()


def film_camera(poses: np.ndarray, focal_px: float, width: int):
    """Make and key the scene camera for a picture ``width`` pixels wide."""
    data = bpy.data.cameras.new("Camera")
    data.sensor_fit, data.sensor_width = "HORIZONTAL", 36.0
    data.lens = focal_px / width * 36.0
    data.clip_start, data.clip_end = 0.05, 400.0
    camera = bpy.data.objects.new("Camera", data)
    scene = bpy.context.scene
    scene.collection.objects.link(camera)
    scene.camera = camera
    padded = np.concatenate([poses[:1], poses, poses[-1:]])
    key_matrices(camera, padded @ FLIP, first_frame=-1)
    return camera


def turn_z(angle_rad: float, at=(0, 0, 0)) -> np.ndarray:
    """Matrix (4, 4): turn about z, then move to ``at``."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0, at[0]], [s, c, 0, at[1]], [0, 0, 1, at[2]], [0, 0, 0, 1]], float)


def turn_x(angle_rad: float, at=(0, 0, 0)) -> np.ndarray:
    """Matrix (4, 4): turn about x, then move to ``at``."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[1, 0, 0, at[0]], [0, c, -s, at[1]], [0, s, c, at[2]], [0, 0, 0, 1]], float)


def turn_y(angle_rad: float, at=(0, 0, 0)) -> np.ndarray:
    """Matrix (4, 4): turn about y, then move to ``at``."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, 0, s, at[0]], [0, 1, 0, at[1]], [-s, 0, c, at[2]], [0, 0, 0, 1]], float)
