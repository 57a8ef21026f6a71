"""Static points through the imported Blender camera land where the engine projects them."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from synthetic_scene import LENSES, write_scene

TOLERANCE_PX = 0.05


def engine_projection(xyz, c2w, fx, fy, cx, cy):
    """geometry.camera.project for a pinhole, written out: OpenCV axes, (0, 0) the top-left corner."""
    cam = (xyz - c2w[:3, 3]) @ c2w[:3, :3]
    z = cam[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([fx * cam[:, 0] / z + cx, fy * cam[:, 1] / z + cy], -1), z


@pytest.mark.parametrize("scale", ["metric", "arbitrary"])
@pytest.mark.parametrize("name", sorted(LENSES))
def test_projection_within_tolerance(addon, tmp_path, name, scale):
    lens = LENSES[name]
    truth = write_scene(tmp_path / "shot", lens, list(range(9)), scale=scale)
    scene = bpy.context.scene
    options = addon.import_scene.ImportOptions(start_frame=101)
    imported = addon.import_scene.import_scene(tmp_path / "shot", scene, options)
    assert (scene.frame_start, scene.frame_end) == (101, 109)
    worst, seen = 0.0, 0
    for i in range(9):
        scene.frame_set(101 + i)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        cloud = imported.cloud.evaluated_get(depsgraph)
        world = [cloud.matrix_world @ Vector(p) for p in truth["xyz"]]
        view = np.array([world_to_camera_view(scene, imported.camera.evaluated_get(depsgraph), p) for p in world])
        got = np.stack([view[:, 0] * lens.width, (1 - view[:, 1]) * lens.height], -1)
        zoom = truth["zoom"][i]
        want, z = engine_projection(truth["xyz"], truth["c2w"][i], lens.fx * zoom, lens.fy * zoom, lens.cx, lens.cy)
        visible = (z > 0.1) & (np.abs(want - [lens.width / 2, lens.height / 2]) < [lens.width, lens.height]).all(1)
        worst = max(worst, np.abs(got - want)[visible].max())
        seen += visible.sum()
    assert seen > 400
    assert worst < TOLERANCE_PX


def test_up_becomes_z_and_the_first_camera_looks_along_y(addon, tmp_path):
    write_scene(tmp_path / "shot", LENSES["landscape"], [0, 1, 2])
    imported = addon.import_scene.import_scene(tmp_path / "shot", bpy.context.scene, addon.import_scene.ImportOptions())
    bpy.context.view_layer.update()
    up = imported.root.matrix_world.to_3x3() @ Vector((0, -1, 0))
    assert (up.normalized() - Vector((0, 0, 1))).length < 1e-5
    ahead = imported.camera.matrix_world.to_3x3() @ Vector((0, 0, -1))
    assert abs(ahead.x) < 1e-5 and ahead.y > 0


def test_quaternions_do_not_jump_and_keys_are_linear(addon, tmp_path):
    write_scene(tmp_path / "shot", LENSES["landscape"], list(range(30)))
    imported = addon.import_scene.import_scene(tmp_path / "shot", bpy.context.scene, addon.import_scene.ImportOptions())
    action = imported.camera.animation_data.action
    curves = action.layers[0].strips[0].channelbag(imported.camera.animation_data.action_slot).fcurves
    rotations = [c for c in curves if c.data_path == "rotation_quaternion"]
    values = np.array([[key.co[1] for key in curve.keyframe_points] for curve in rotations])
    assert values.shape == (4, 30)
    assert (np.sum(values[:, 1:] * values[:, :-1], axis=0) > 0).all()
    assert {key.interpolation for curve in curves for key in curve.keyframe_points} == {"LINEAR"}
