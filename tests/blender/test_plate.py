"""The clip's lens undistorts the plate exactly as the engine's distortion model says."""

import bpy
import numpy as np
import pytest
from synthetic_scene import Lens, write_plate, write_scene

LENSES = {
    "barrel": Lens(160, 90, 140.0, 140.0, 86.0, 41.0, k1=-0.15),
    "pincushion": Lens(160, 90, 140.0, 140.0, 75.0, 48.0, k1=0.12),
}


def undistorted_by_the_compositor(clip, width: int, height: int, path) -> np.ndarray:
    """Render ``clip`` through the Movie Distortion node; linear RGB (height, width, 3), top row first."""
    scene = bpy.context.scene
    if hasattr(scene, "compositing_node_group"):
        tree = bpy.data.node_groups.new("Undistort", "CompositorNodeTree")
        scene.compositing_node_group = tree
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        output = tree.nodes.new("NodeGroupOutput")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        output = tree.nodes.new("CompositorNodeComposite")
    source = tree.nodes.new("CompositorNodeMovieClip")
    source.clip = clip
    straight = tree.nodes.new("CompositorNodeMovieDistortion")
    straight.clip = clip
    if hasattr(straight, "distortion_type"):
        straight.distortion_type = "UNDISTORT"
    else:
        straight.inputs["Type"].default_value = "Undistort"
    tree.links.new(source.outputs["Image"], straight.inputs["Image"])
    tree.links.new(straight.outputs["Image"], output.inputs[0])
    render = scene.render
    render.engine, scene.cycles.samples = "CYCLES", 1
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.image_settings.file_format = "OPEN_EXR"
    render.filepath = str(path)
    scene.camera = scene.camera or bpy.data.objects.new("c", bpy.data.cameras.new("c"))
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    pixels = np.zeros(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(height, width, 4)[::-1, :, :3]


@pytest.mark.parametrize("name", sorted(LENSES))
def test_undistortion_agrees_with_the_engine(addon, tmp_path, name):
    """The plate's ramps tell where each pixel of the straightened picture came from."""
    lens = LENSES[name]
    footage = write_plate(tmp_path / "plate", lens, range(3))
    write_scene(tmp_path / "shot", lens, [0, 1, 2], footage=str(footage))
    imported = addon.import_scene.import_scene(
        tmp_path / "shot", bpy.context.scene, addon.import_scene.ImportOptions(static_cloud=False)
    )
    linear = undistorted_by_the_compositor(imported.clip, lens.width, lens.height, tmp_path / "out.exr")
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    got = srgb[..., :2] * [lens.width - 1, lens.height - 1] + 0.5
    u, v = np.meshgrid(np.arange(lens.width) + 0.5, np.arange(lens.height) + 0.5)
    x, y = (u - lens.cx) / lens.fx, (v - lens.cy) / lens.fy
    bend = 1 + lens.k1 * (x * x + y * y)
    want = np.stack([x * bend * lens.fx + lens.cx, y * bend * lens.fy + lens.cy], -1)
    # Away from the border, where the plate has nothing to show; dark ramps are coarse in 8 bit.
    inside = (np.abs(want / [lens.width, lens.height] - 0.5) < 0.42).all(-1)
    error = (got - want)[inside]
    moved = np.abs(want - np.stack([u, v], -1))[inside]
    assert moved.max() > 2.0
    # Blender's compositor rounds the picture's place to the pixel, differently from version to version.
    offset = np.median(error, axis=0)
    assert np.abs(offset).max() < 0.6
    assert np.percentile(np.abs(error - offset), 98) < 0.35
