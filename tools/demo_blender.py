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
from bpy_extras.object_utils import world_to_camera_view
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


def seen_points(frame: int) -> np.ndarray:
    """World positions (P, 3) of the animated points at ``frame``: what the camera saw, lifted."""
    scene = bpy.context.scene
    scene.frame_set(frame)
    host = next(o for o in scene.objects if o.type == "POINTCLOUD" and o.modifiers)
    evaluated = host.evaluated_get(bpy.context.evaluated_depsgraph_get())
    positions = np.empty(3 * len(evaluated.data.points), dtype=np.float32)
    evaluated.data.attributes["position"].data.foreach_get("vector", positions)
    matrix = np.array(evaluated.matrix_world)
    return positions.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def stays_in_view(points: np.ndarray) -> np.ndarray:
    """True for the world points (P, 3) that lie well inside the picture at the first, middle and last frame."""
    scene = bpy.context.scene
    inside = np.ones(len(points), dtype=bool)
    for frame in (scene.frame_start, (scene.frame_start + scene.frame_end) // 2, scene.frame_end):
        scene.frame_set(frame)
        pixels = np.array([world_to_camera_view(scene, scene.camera, Vector(p)) for p in points])
        inside &= (np.abs(pixels[:, :2] - 0.5) < 0.42).all(1) & (pixels[:, 2] > 0)
    return inside


def free_floor(frame: int) -> tuple[Vector, float]:
    """A clear spot of the floor that stays in view, and the edge of a cube that fits there.

    The floor is the parent's ground plane, z = 0, which the import found. It is divided into cells; the best has
    floor in sight in the most of its neighbours, and the fewest with something standing there.
    """
    points = seen_points(frame)
    eye = np.array(bpy.context.scene.camera.matrix_world.translation)
    distance = float(np.median(np.linalg.norm(points - eye, axis=1)))
    size = 0.1 * distance
    floor = np.abs(points[:, 2]) < 0.02 * distance
    standing = (points[:, 2] > 0.04 * distance) & (points[:, 2] < 0.5 * distance)
    cell = size / 2
    low = points[:, :2].min(0)
    place = np.floor((points[:, :2] - low) / cell).astype(int)
    shape = place.max(0) + 1
    count = [np.bincount(np.ravel_multi_index(place[m].T, shape), minlength=shape.prod()) for m in (floor, standing)]
    # A handful of points may be strays; a cell that was seen holds dozens.
    floor_seen, taken = ((c >= 4).reshape(shape) for c in count)
    ground, things = around(floor_seen.astype(int)), around(taken.astype(int))
    centres = np.stack(np.indices(shape), axis=-1).reshape(-1, 2) * cell + low + cell / 2
    centres = np.column_stack([centres, np.zeros(len(centres))])
    score = (ground - 2 * things).ravel()
    candidates = np.flatnonzero(floor_seen & ~taken)
    visible = candidates[stays_in_view(centres[candidates])]
    candidates = visible if len(visible) else candidates
    chosen = centres[candidates[np.argmax(score[candidates])]]
    return Vector(chosen), size


def around(count: np.ndarray) -> np.ndarray:
    """Sums over each cell and its neighbours two cells wide."""
    padded = np.pad(count, 2)
    rows = sum(padded[i : i + count.shape[0]] for i in range(5))
    return sum(rows[:, j : j + count.shape[1]] for j in range(5))


def add_cube() -> bpy.types.Object:
    """A cube standing on the floor, a shadow catcher below it, a sun; nothing moves but the camera."""
    scene = bpy.context.scene
    middle = (scene.frame_start + scene.frame_end) // 2
    point, size = free_floor(middle)
    bpy.ops.mesh.primitive_cube_add(size=size, location=point + Vector((0, 0, size / 2)), rotation=(0, 0, 0.5))
    cube = bpy.context.object
    cube.name = "Cube on the floor"
    material = bpy.data.materials.new("Cube")
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    checks = material.node_tree.nodes.new("ShaderNodeTexChecker")
    checks.inputs["Color1"].default_value, checks.inputs["Color2"].default_value = (
        (0.9, 0.25, 0.03, 1),
        (0.8, 0.7, 0.6, 1),
    )
    checks.inputs["Scale"].default_value = 4
    coordinates = material.node_tree.nodes.new("ShaderNodeTexCoord")
    material.node_tree.links.new(checks.inputs["Vector"], coordinates.outputs["Generated"])
    material.node_tree.links.new(shader.inputs["Base Color"], checks.outputs["Color"])
    shader.inputs["Roughness"].default_value = 0.35
    cube.data.materials.append(material)
    bpy.ops.mesh.primitive_plane_add(size=8 * size, location=point)
    bpy.context.object.name = "Shadow catcher"
    bpy.context.object.is_shadow_catcher = True
    bpy.ops.object.light_add(type="SUN", rotation=(0.45, -0.5, 0))
    bpy.context.object.data.energy = 4.0
    bpy.context.object.data.angle = 0.06
    world = scene.world or bpy.data.worlds.new("World")
    scene.world = world
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 2.0
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
    points = seen_points(middle)
    solved = scene.camera
    eye = np.array(solved.matrix_world.translation)
    aim = np.median(points, axis=0)
    reach = aim - eye
    turn = np.radians(28)
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) @ reach
    place = aim - 1.25 * turned + np.array([0, 0, 0.35 * np.linalg.norm(reach)])
    camera = bpy.data.objects.new("Aside", bpy.data.cameras.new("Aside"))
    scene.collection.objects.link(camera)
    camera.data.lens, camera.data.clip_end = solved.data.lens, solved.data.clip_end
    camera.location = place
    camera.rotation_euler = Vector(aim - place).to_track_quat("-Z", "Y").to_euler()
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
