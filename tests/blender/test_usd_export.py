"""The exported USD file, read back by usd-core in the engine's environment."""

import json
import subprocess
from pathlib import Path

import bpy
import numpy as np
import pytest
from synthetic_scene import LENSES, write_scene
from test_depth_points import set_inputs, unproject

READER = Path(__file__).with_name("usd_content.py")


def export(addon, engine_python, tmp_path, lens, **options) -> tuple[dict, dict]:
    """Truth of a synthetic scene and the content of the USD file exported from it."""
    truth = write_scene(tmp_path / "shot", lens, [0, 1, 2, 3], (64, 36))
    imported = addon.import_scene.import_scene(
        tmp_path / "shot", bpy.context.scene, addon.import_scene.ImportOptions(start_frame=11, **options)
    )
    set_inputs(addon, imported.points, **{"Density": 1.0, "Minimum Confidence": 0.0})
    bpy.context.view_layer.objects.active = imported.camera
    bystander = bpy.data.objects.new("Bystander", bpy.data.cameras.new("Bystander"))
    bpy.context.scene.collection.objects.link(bystander)
    path = tmp_path / "out ü.usdc"
    assert bpy.ops.geo4d.export_usd(filepath=str(path)) == {"FINISHED"}
    done = subprocess.run([engine_python, str(READER), str(path)], capture_output=True, text=True, check=True)
    truth["root"] = np.array(imported.root.matrix_world)
    return truth, json.loads(done.stdout)


@pytest.mark.parametrize("name", ["zoom", "off_centre"])
def test_camera_has_pose_focal_and_offset_samples(addon, engine_python, tmp_path, name):
    lens = LENSES[name]
    truth, content = export(addon, engine_python, tmp_path, lens)
    assert (content["start"], content["end"], content["fps"]) == (11, 14, 24)
    (camera,) = content["cameras"]
    times = [f"{t}.0" for t in range(11, 15)]
    # What does not change has one sample, which holds.
    assert list(camera["FocalLength"]) == (times if name == "zoom" else times[:1])
    assert next(iter(camera["HorizontalApertureOffset"])) == times[0]
    for i, time in enumerate(times):

        def value(attribute, time=time):
            samples = camera[attribute]
            return samples.get(time, next(iter(samples.values())))

        aperture = value("HorizontalAperture")
        # Field of view and principal point as fractions of the picture's width.
        assert value("FocalLength") / aperture == pytest.approx(lens.fx * truth["zoom"][i] / lens.width, rel=1e-5)
        offset = value("HorizontalApertureOffset") / aperture
        assert offset == pytest.approx((lens.width / 2 - lens.cx) / lens.width, abs=1e-5)
        # USD matrices act on row vectors; USD cameras look along -Z as Blender's do.
        pose = np.array(camera["poses"][time]).T
        want = truth["root"] @ truth["c2w"][i] @ np.diag([1, -1, -1, 1])
        np.testing.assert_allclose(pose, want, atol=1e-4)


def test_points_are_animated_with_colour_and_confidence(addon, engine_python, tmp_path):
    lens = LENSES["landscape"]
    truth, content = export(addon, engine_python, tmp_path, lens)
    animated = [p for p in content["points"] if len(p["positions"]) > 1]
    still = [p for p in content["points"] if len(p["positions"]) == 1]
    assert len(animated) == 1 and len(still) == 1
    (points,) = animated
    assert list(points["positions"]) == [f"{t}.0" for t in range(11, 15)]
    root = np.array(points["world"]).T
    np.testing.assert_allclose(root, truth["root"], atol=1e-4)
    for i in range(4):
        want, keep = unproject(i, truth["c2w"][i], lens, 1.0, (64, 36))
        got = np.array(points["positions"][f"{11 + i}.0"])
        assert np.abs(got - want).max() < 2e-5 * np.abs(want).max()
        for name in ("displayColor", "confidence", "dynamic"):
            assert points["primvar_lengths"][name].get(f"{11 + i}.0", keep.sum()) == keep.sum()
    assert points["primvars"]["confidence"] == 4
    assert max(points["widths"].values()) > 2000
    cloud = np.array(next(iter(still[0]["positions"].values())))
    np.testing.assert_allclose(cloud, truth["xyz"], atol=1e-4)


def test_selection_survives_the_export(addon, engine_python, tmp_path):
    cube = bpy.data.objects.new("Cube", bpy.data.meshes.new("Cube"))
    bpy.context.scene.collection.objects.link(cube)
    cube.select_set(True)
    export(addon, engine_python, tmp_path, LENSES["landscape"])
    assert [o.name for o in bpy.context.selected_objects] == ["Cube"]


def test_folder_that_cannot_be_written_is_reported(addon, tmp_path):
    write_scene(tmp_path / "shot", LENSES["landscape"], [0, 1, 2])
    addon.import_scene.import_scene(tmp_path / "shot", bpy.context.scene, addon.import_scene.ImportOptions())
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(RuntimeError, match=r"cannot be written .* Choose another folder"):
        bpy.ops.geo4d.export_usd(filepath=str(blocked / "out.usdc"))
