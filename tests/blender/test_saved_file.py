"""A saved file plays on a Blender that has never seen the extension."""

import os
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
from synthetic_scene import LENSES, write_plate, write_scene
from test_depth_points import evaluated_points

PLAYER = Path(__file__).with_name("play_saved.py")
FRAMES = (21, 22, 24, 40)


def test_reopened_without_the_extension_plays_the_same(addon, tmp_path):
    lens = LENSES["zoom"]
    project = tmp_path / "project ü"
    footage = write_plate(project / "plate", lens, range(4))
    write_scene(project / "geo4d" / "shot", lens, [0, 1, 2, 3], (64, 36), str(footage), scale="arbitrary")
    scene = bpy.context.scene
    options = addon.import_scene.ImportOptions(start_frame=21)
    imported = addon.import_scene.import_scene(project / "geo4d" / "shot", scene, options)
    seen = {}
    for frame in FRAMES:
        scene.frame_set(frame)
        points = evaluated_points(imported.points)
        seen[frame] = points["position"], points["displayColor"], np.array(imported.camera.matrix_world)
    blend = project / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), relative_remap=True)

    # The whole project moves, as when it is handed to somebody else.
    moved = tmp_path / "moved"
    project.rename(moved)
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "empty")}
    out = tmp_path / "played.npz"
    command = [sys.executable, "-I", str(PLAYER), str(moved / "shot.blend"), str(out), *map(str, FRAMES)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    with np.load(out) as played:
        assert not played["has_extension"]
        for frame, (points, colors, camera) in seen.items():
            assert len(points) > 400
            np.testing.assert_array_equal(played[f"points_{frame}"], points)
            np.testing.assert_array_equal(played[f"colors_{frame}"], colors)
            np.testing.assert_allclose(played[f"camera_{frame}"], camera, atol=1e-6)


def test_scenes_paths_are_stored_relative_to_the_saved_file(addon, tmp_path):
    write_scene(tmp_path / "geo4d" / "shot", LENSES["landscape"], [0, 1, 2], (64, 36))
    addon.import_scene.import_scene(tmp_path / "geo4d" / "shot", bpy.context.scene, addon.import_scene.ImportOptions())
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"), relative_remap=True)
    depth = next(image for image in bpy.data.images if image.source == "SEQUENCE")
    assert depth.filepath.replace("\\", "/") == "//geo4d/shot/depth/0000.exr"
