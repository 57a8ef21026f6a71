"""The Blender half of the demo: ``python -I demo_blender.py ZIP CLIP FOLDER``.

Does what a user does: installs the extension's zip into an empty user folder, puts the clip into the sequencer,
clicks Reconstruct 4D, sets a cube on the floor, saves the file, exports USD. Then it renders what the demo shows:
the cube alone with its shadow (over nothing, for the plate) and the points from aside.
"""

import json
import sys
import time
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

MODULE = "bl_ext.user_default.geo4d"
CUBE_FRAMES = 6  # rendered for the contact sheet
SAMPLES = 12


def reconstruct(archive: str, clip: str, folder: Path) -> None:
    """Install the extension and run its operator on the clip as a strip."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.extensions.package_install_files(repo="user_default", filepath=archive, enable_on_install=True)
    if MODULE not in bpy.context.preferences.addons:
        raise SystemExit("demo: the extension was installed but could not be enabled; see the lines above")
    scene = bpy.context.scene
    scene.render.fps = 24
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    editor.active_strip = strips.new_movie("clip", clip, channel=1, frame_start=1)
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene
    scene.geo4d.output = str(folder)
    job = sys.modules[f"{MODULE}.geo4d_blender.job"]
    original, last = job.step, [""]

    def step_and_tell() -> bool:
        running = original()
        now = job.current
        if now.running and now.stage != last[0]:
            last[0] = now.stage
            print(f"demo: {now.stage} ...", flush=True)
        return running

    job.step = step_and_tell
    bpy.ops.geo4d.reconstruct(source="STRIP")
    job.step = original
    if job.current.state != "DONE":
        raise SystemExit(f"demo: {job.current.error['message']} {job.current.error['hint']}")


def floor_point(frame: int) -> tuple[Vector, float]:
    """World point on the floor seen a little below the picture's centre at ``frame``, and its distance.

    The floor is the parent's ground plane, z = 0, which the import found.
    """
    scene = bpy.context.scene
    scene.frame_set(frame)
    camera = scene.camera
    eye = camera.matrix_world.translation
    corners = [camera.matrix_world @ corner for corner in camera.data.view_frame(scene=scene)]
    # view_frame: top right, bottom right, bottom left, top left. A spot left of centre, near the lower edge.
    right, left = corners[1].lerp(corners[0], 0.24), corners[2].lerp(corners[3], 0.24)
    direction = left.lerp(right, 0.42) - eye
    distance = -eye.z / direction.z
    point = eye + direction * distance
    return point, (point - eye).length


def add_cube() -> bpy.types.Object:
    """A cube standing on the floor, a shadow catcher below it, a sun; nothing moves but the camera."""
    scene = bpy.context.scene
    middle = (scene.frame_start + scene.frame_end) // 2
    point, distance = floor_point(middle)
    size = 0.13 * distance
    bpy.ops.mesh.primitive_cube_add(size=size, location=point + Vector((0, 0, size / 2)), rotation=(0, 0, 0.5))
    cube = bpy.context.object
    cube.name = "Cube on the floor"
    material = bpy.data.materials.new("Cube")
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (0.9, 0.25, 0.03, 1)
    shader.inputs["Roughness"].default_value = 0.35
    cube.data.materials.append(material)
    bpy.ops.mesh.primitive_plane_add(size=8 * size, location=point)
    bpy.context.object.name = "Shadow catcher"
    bpy.context.object.is_shadow_catcher = True
    bpy.ops.object.light_add(type="SUN", rotation=(0.5, 0.35, 0))
    bpy.context.object.data.energy = 2.5
    bpy.context.object.data.angle = 0.3
    world = scene.world or bpy.data.worlds.new("World")
    scene.world = world
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.7
    return cube


def use_cycles() -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = SAMPLES
    scene.cycles.use_denoising = True
    scene.cycles.max_bounces = 2
    scene.render.use_persistent_data = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.use_sequencer = False
    scene.render.use_compositing = False
    scene.view_settings.view_transform = "Standard"


def render(path: Path, frame: int) -> None:
    scene = bpy.context.scene
    scene.frame_set(frame)
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def render_cube(folder: Path, points: list[bpy.types.Object]) -> None:
    """The cube and its shadow on transparent ground, through the solved camera."""
    scene = bpy.context.scene
    scene.render.film_transparent = True
    for item in points:
        item.hide_render = True
    for frame in np.linspace(scene.frame_start, scene.frame_end, CUBE_FRAMES).round().astype(int):
        render(folder / f"cube_{frame:04d}.png", int(frame))
    for item in points:
        item.hide_render = False


def render_points(folder: Path) -> None:
    """The lifted points of the middle frame from a place beside the solved camera, and a little above it."""
    scene = bpy.context.scene
    middle = (scene.frame_start + scene.frame_end) // 2
    _, distance = floor_point(middle)
    solved = scene.camera
    eye = solved.matrix_world.translation.copy()
    side = solved.matrix_world.to_3x3() @ Vector((1, 0, 0))
    look = solved.matrix_world.to_3x3() @ Vector((0, 0, -1))
    aim = eye + look * distance * 1.2
    camera = bpy.data.objects.new("Aside", bpy.data.cameras.new("Aside"))
    scene.collection.objects.link(camera)
    camera.data.lens, camera.data.clip_end = solved.data.lens * 0.8, solved.data.clip_end
    place = eye + side * distance * 0.55 - look * distance * 0.15 + Vector((0, 0, 0.4 * distance))
    camera.location = place
    camera.rotation_euler = (aim - place).to_track_quat("-Z", "Y").to_euler()
    scene.render.film_transparent = False
    scene.camera = camera
    render(folder / "points.png", middle)
    scene.camera = solved
    bpy.data.objects.remove(camera)


def main() -> None:
    archive, clip, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    begun = time.monotonic()
    reconstruct(archive, clip, folder)
    seconds = {"reconstruct": time.monotonic() - begun}
    scene = bpy.context.scene
    points = [o for o in scene.objects if o.type == "POINTCLOUD"]
    add_cube()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "room.blend"))
    begun = time.monotonic()
    bpy.ops.geo4d.export_usd(filepath=str(folder / "room.usdc"))
    seconds["usd"] = time.monotonic() - begun
    print("demo: rendering ...", flush=True)
    use_cycles()
    begun = time.monotonic()
    pictures = folder / "renders"
    pictures.mkdir(exist_ok=True)
    render_cube(pictures, points)
    render_points(pictures)
    seconds["render"] = time.monotonic() - begun
    report = {"scene": scene.geo4d.scene_folder, "start": scene.frame_start, "seconds": seconds}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    bpy.ops.preferences.addon_disable(module=MODULE)


if __name__ == "__main__":
    main()
