"""Depth lifted by geometry nodes: positions, colours, controls, frames."""

import bpy
import numpy as np
import pytest
from synthetic_scene import LENSES, depth_maps, write_plate, write_scene

SIZE = {"landscape": (64, 36), "portrait": (36, 64)}


def evaluated_points(item) -> dict[str, np.ndarray]:
    """World positions and attributes of the object's points as they are now."""
    data = item.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    count = len(data.points)
    fields = {"position": ("vector", 3), "displayColor": ("color", 4), "confidence": ("value", 1)}
    fields |= {"dynamic": ("value", 1), "radius": ("value", 1)}
    out = {}
    for name, (field, width) in fields.items():
        values = np.zeros(count * width, np.float32)
        data.attributes[name].data.foreach_get(field, values)
        out[name] = values.reshape(count, width)
    matrix = np.array(item.matrix_world)
    out["world"] = out["position"].astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    return out


def unproject(index: int, c2w: np.ndarray, lens, zoom: float, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """geometry.camera.unproject of a whole map, written out: points (N, 3) and the mask (h, w) of those that exist."""
    w, h = size
    depth, _, _ = depth_maps(index, w, h)
    sx, sy = w / lens.width, h / lens.height
    u, v = np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5)
    x = (u - lens.cx * sx) / (lens.fx * zoom * sx) * depth
    y = (v - lens.cy * sy) / (lens.fy * zoom * sy) * depth
    cam = np.stack([x, y, depth], -1)
    keep = depth > 0
    return (cam @ c2w[:3, :3].T + c2w[:3, 3])[keep], keep


def bring_in(addon, folder, **options):
    scene = bpy.context.scene
    imported = addon.import_scene.import_scene(folder, scene, addon.import_scene.ImportOptions(**options))
    set_inputs(addon, imported.points, **{"Density": 1.0, "Minimum Confidence": 0.0})
    return imported


def set_inputs(addon, points, **values):
    for name, value in values.items():
        addon.compat.set_modifier_input(points.modifiers[0], name, value)


@pytest.mark.parametrize("name", ["landscape", "portrait", "off_centre", "anamorphic", "zoom", "distorted"])
def test_positions_equal_the_engines_unprojection(addon, tmp_path, name):
    lens = LENSES[name]
    size = SIZE.get(name, (64, 36))
    truth = write_scene(tmp_path / "shot", lens, [0, 1, 2, 3], size)
    imported = bring_in(addon, tmp_path / "shot", start_frame=11)
    for i in (0, 1, 3):
        bpy.context.scene.frame_set(11 + i)
        got = evaluated_points(imported.points)
        want, keep = unproject(i, truth["c2w"][i], lens, truth["zoom"][i], size)
        assert len(got["position"]) == keep.sum()
        assert np.abs(got["position"] - want).max() < 2e-5 * np.abs(want).max()
        _, confidence, dynamic = depth_maps(i, *size)
        np.testing.assert_allclose(got["confidence"][:, 0], confidence[keep], atol=1e-3)
        np.testing.assert_allclose(got["dynamic"][:, 0], dynamic[keep], atol=1e-3)


def test_import_in_steps_and_one_that_is_stopped(addon, tmp_path):
    """Steps give Blender back its window in between; a node group left half made is never used."""
    write_scene(tmp_path / "shot", LENSES["landscape"], [0, 1, 2, 3], (64, 36))
    group = addon.depth_points.GROUP
    make = addon.import_scene.import_steps
    options = addon.import_scene.ImportOptions()
    for _ in make(tmp_path / "shot", bpy.context.scene, options):
        if any(g.name.startswith(group) and len(g.nodes) > 20 for g in bpy.data.node_groups):
            break
    assert group not in bpy.data.node_groups
    steps = list(make(tmp_path / "shot", bpy.context.scene, options))
    assert len(steps) >= 9
    assert group in bpy.data.node_groups
    imported = bring_in(addon, tmp_path / "shot")
    assert imported.points.modifiers[0].node_group.name == group
    assert len(evaluated_points(imported.points)["position"]) > 100


def test_points_project_onto_their_pixels_in_the_camera(addon, tmp_path):
    """The whole chain: lifted points seen through the imported camera lie on the grid they came from."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    lens = LENSES["off_centre"]
    write_scene(tmp_path / "shot", lens, [0, 1, 2], (64, 36), scale="arbitrary")
    imported = bring_in(addon, tmp_path / "shot")
    bpy.context.scene.frame_set(3)
    depth, _, _ = depth_maps(2, 64, 36)
    v, u = np.nonzero(depth > 0)
    world = evaluated_points(imported.points)["world"]
    for k in range(0, len(world), 97):
        view = world_to_camera_view(bpy.context.scene, imported.camera, Vector(world[k]))
        assert view.x * 64 == pytest.approx(u[k] + 0.5, abs=0.005)
        assert (1 - view.y) * 36 == pytest.approx(v[k] + 0.5, abs=0.005)


def test_between_depth_frames_the_last_one_holds(addon, tmp_path):
    """Footage frames 4, 7, 10 have depth; points stay in the world between them and before and after."""
    lens = LENSES["zoom"]
    truth = write_scene(tmp_path / "shot", lens, [4, 7, 10], (64, 36))
    imported = bring_in(addon, tmp_path / "shot", start_frame=100)
    for frame, position in ((90, 0), (104, 0), (106, 0), (107, 1), (109, 1), (110, 2), (130, 2)):
        bpy.context.scene.frame_set(frame)
        got = evaluated_points(imported.points)["position"]
        want, _ = unproject([4, 7, 10][position], truth["c2w"][position], lens, truth["zoom"][position], (64, 36))
        assert np.abs(got - want).max() < 2e-5 * np.abs(want).max(), frame


def test_gaps_in_the_footage_hold_the_frame_before(addon, tmp_path):
    lens = LENSES["landscape"]
    truth = write_scene(tmp_path / "shot", lens, [0, 1, 5, 6], (64, 36))
    imported = bring_in(addon, tmp_path / "shot", start_frame=1)
    for frame, position in ((1, 0), (2, 1), (4, 1), (6, 2), (7, 3), (9, 3)):
        bpy.context.scene.frame_set(frame)
        got = evaluated_points(imported.points)["position"]
        want, _ = unproject([0, 1, 5, 6][position], truth["c2w"][position], lens, 1.0, (64, 36))
        assert np.abs(got - want).max() < 2e-5 * np.abs(want).max(), frame


def test_controls_choose_points(addon, tmp_path):
    write_scene(tmp_path / "shot", LENSES["landscape"], [0, 1], (64, 36))
    imported = bring_in(addon, tmp_path / "shot")
    bpy.context.scene.frame_set(1)
    depth, confidence, dynamic = depth_maps(0, 64, 36)
    there = depth > 0

    def count(**values):
        set_inputs(addon, imported.points, **values)
        return len(evaluated_points(imported.points)["position"])

    assert count() == there.sum()
    assert count(**{"Minimum Confidence": 0.5}) == (there & (confidence >= 0.5)).sum()
    assert count(**{"Minimum Confidence": 0.0, "Moving": False}) == (there & (dynamic < 0.5)).sum()
    assert count(Moving=True, Static=False) == (there & (dynamic >= 0.5)).sum()
    assert count(**{"Static": True, "Maximum Distance": 3.0}) == (there & (depth <= 3.0)).sum()
    quarter = count(**{"Maximum Distance": 0.0, "Density": 0.25})
    assert 0.23 * there.sum() < quarter < 0.27 * there.sum()


def test_points_take_the_plates_colour(addon, tmp_path):
    """The ramps of the plate come back under every point, frame by frame, through the lens distortion."""
    lens = LENSES["distorted"]
    footage = write_plate(tmp_path / "plate", lens, range(6), first_number=1001)
    write_scene(tmp_path / "shot", lens, [2, 3, 4], (64, 36), footage=str(footage))
    imported = bring_in(addon, tmp_path / "shot", start_frame=1)
    for i, index in enumerate((2, 3, 4)):
        bpy.context.scene.frame_set(1 + index)
        got = evaluated_points(imported.points)["displayColor"]
        v, u = np.nonzero(depth_maps(index, 64, 36)[0] > 0)
        x = ((u + 0.5) * lens.width / 64 - lens.cx) / lens.fx
        y = ((v + 0.5) * lens.height / 36 - lens.cy) / lens.fy
        bend = 1 + lens.k1 * (x * x + y * y)
        red = (x * bend * lens.fx + lens.cx) / lens.width
        green = (y * bend * lens.fy + lens.cy) / lens.height
        linear = got[:, :3].astype(np.float64)
        srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
        assert np.abs(srgb[:, 0] - red).max() < 0.01
        assert np.abs(srgb[:, 1] - green).max() < 0.01
        assert np.abs(srgb[:, 2] - (index % 8) / 8).max() < 0.01, i
