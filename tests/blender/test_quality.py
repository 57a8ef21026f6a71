"""What the add-on says of a scene's grade."""

import json

import bpy
import pytest
from synthetic_scene import LENSES, write_scene


def imported(addon, tmp_path, quality):
    folder = tmp_path / "graded.geo4d"
    write_scene(folder, LENSES["landscape"], [0, 1, 2])
    data = json.loads((folder / "scene.json").read_text())
    if quality is not None:
        data["statistics"] = {"quality": quality}
    (folder / "scene.json").write_text(json.dumps(data))
    options = addon.import_scene.ImportOptions(plate=False, depth_points=False)
    return addon.import_scene.import_scene(folder, bpy.context.scene, options)


def shown(addon, result):
    """The lines that the panel draws of an imported scene."""
    return result.root[addon.import_scene.QUALITY].splitlines()


def test_a_good_camera_is_one_line(addon, tmp_path):
    result = imported(addon, tmp_path, {"grade": "good", "reason": "", "reprojection_error_px": 0.312})
    assert shown(addon, result) == ["Camera: good, 0.31 px"]
    assert result.summary[0] == "Camera: good, 0.31 px"


@pytest.mark.parametrize("grade", ["fair", "poor"])
def test_a_lesser_camera_says_why(addon, tmp_path, grade):
    reason = "The camera hardly travels, so there is no parallax."
    result = imported(addon, tmp_path, {"grade": grade, "reason": reason, "reprojection_error_px": 0.5})
    assert shown(addon, result) == [f"Camera: {grade}, 0.50 px", reason]
    assert result.summary[:2] == shown(addon, result)


def test_a_scene_without_a_grade_says_nothing(addon, tmp_path):
    result = imported(addon, tmp_path, None)
    assert shown(addon, result) == []
    assert any("Reprojection error" in line for line in result.summary)
