"""A user's session with the installed extension: ``python -I session.py ZIP CLIP FOLDER``.

Runs in a Blender of its own whose user folder is empty, without any development environment in reach; writes what it
saw to FOLDER/report.json after every step, so that a step that fails leaves the earlier ones to read.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import bpy

MODULE = "bl_ext.user_default.geo4d"
FRAMES = 20  # of the clip; enough parallax for a solve, quick enough for a test


class Report(dict):
    """Values by name, kept on disk."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def note(self, **values) -> None:
        self.update(values)
        self.path.write_text(json.dumps(self, default=str), encoding="utf-8")


def install(archive: str) -> dict:
    begun = time.monotonic()
    bpy.ops.extensions.package_install_files(repo="user_default", filepath=archive, enable_on_install=True)
    user_folder = os.environ["BLENDER_USER_RESOURCES"]
    site_packages = [p for p in sys.path if p.startswith(user_folder) and p.endswith("site-packages")]
    return {
        "enabled": MODULE in bpy.context.preferences.addons,
        "site_packages": site_packages,
        "installed": sorted(p.name for path in site_packages for p in Path(path).iterdir()),
        "install_s": time.monotonic() - begun,
    }


def doctor() -> dict:
    """Ask the bundled engine what it can do, started exactly as the add-on starts it."""
    interpreter = sys.modules[f"{MODULE}.geo4d_blender.interpreter"]
    environment = interpreter.engine_environment("")
    command = interpreter.engine_command("", "doctor", "--json")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    where = "import json, av, cv2, geo4d, pycolmap, OpenEXR; print(json.dumps([m.__file__ for m in "
    where += "(av, cv2, geo4d, pycolmap, OpenEXR)]))"
    files = subprocess.run(
        [command[0], "-c", where], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return {
        "doctor_status": done.returncode,
        "doctor": json.loads(done.stdout),
        "engine_files": json.loads(files.stdout),
    }


def add_strip(clip: str) -> None:
    """The first frames of ``clip`` as the active strip of the sequencer."""
    scene = bpy.context.scene
    scene.render.fps = 24
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_movie("clip", clip, channel=1, frame_start=1)
    strip.frame_final_duration = FRAMES
    editor.active_strip = strip
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene


def reconstruct(folder: Path) -> dict:
    job = sys.modules[f"{MODULE}.geo4d_blender.job"]
    settings = bpy.context.scene.geo4d
    settings.output = str(folder / "scenes")
    settings.depth_size = "320"
    begun = time.monotonic()
    try:
        outcome = bpy.ops.geo4d.reconstruct(source="STRIP")
    except RuntimeError as error:  # what an operator reports as an error; the session still has to end cleanly
        outcome = {str(error)}
    ended = job.current
    if ended is None:  # refused before an engine was started
        return {"outcome": sorted(outcome), "state": None, "error": sorted(outcome)}
    return {
        "outcome": sorted(outcome),
        "state": ended.state,
        "error": ended.error,
        "warnings": ended.warnings,
        "engine_pid": ended.process.pid,
        "scene_folder": settings.scene_folder,
        "reconstruct_s": time.monotonic() - begun,
    }


def inspect() -> dict:
    """What the import left in the Blender scene."""
    scene = bpy.context.scene
    camera = scene.camera
    places, points = [], []
    host = next((o for o in scene.objects if o.type == "POINTCLOUD" and o.modifiers), None)
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        graph = bpy.context.evaluated_depsgraph_get()
        places.append(list(camera.matrix_world.translation))
        if host is not None:
            points.append(len(host.evaluated_get(graph).data.points))
    return {
        "frames": [scene.frame_start, scene.frame_end],
        "resolution": [scene.render.resolution_x, scene.render.resolution_y],
        "camera_positions": places,
        "lens_mm": camera.data.lens,
        "points": points,
    }


def remove() -> dict:
    import addon_utils

    repositories = [repository.module for repository in bpy.context.preferences.extensions.repos]
    bpy.ops.preferences.addon_disable(module=MODULE)
    handlers = [h for name in dir(bpy.app.handlers) for h in as_list(getattr(bpy.app.handlers, name))]
    after_disable = {
        "enabled_after": MODULE in bpy.context.preferences.addons,
        "left_classes": [name for name in dir(bpy.types) if name.startswith("GEO4D_")],
        "left_operators": [name for name in dir(bpy.ops) if name == "geo4d"],
        "left_properties": hasattr(bpy.types.Scene, "geo4d"),
        "left_handlers": [h.__module__ for h in handlers if getattr(h, "__module__", "").startswith(MODULE)],
    }
    bpy.ops.extensions.package_uninstall(repo_index=repositories.index("user_default"), pkg_id="geo4d")
    folder = Path(bpy.utils.user_resource("EXTENSIONS"))
    # Blender keeps caches of its own, and the bytecode of wheels that are a single module (Imath of OpenEXR).
    own = {".cache", ".blender_ext", "__pycache__"}
    left = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and not own & set(p.parts)]
    return {
        **after_disable,
        "loaded_after": addon_utils.check(MODULE),
        "left_files": left,
    }


def as_list(handlers) -> list:
    return handlers if isinstance(handlers, list) else []


def main(archive: str, clip: str, folder: Path) -> None:
    report = Report(folder / "report.json")
    report.note(blender=bpy.app.version_string, python=sys.version.split()[0])
    report.note(**install(archive))
    report.note(**doctor())
    if clip:
        add_strip(clip)
        report.note(**reconstruct(folder))
    if report.get("state") == "DONE":
        report.note(**inspect())
        usd = folder / "scene.usdc"
        bpy.ops.geo4d.export_usd(filepath=str(usd))
        report.note(usd=str(usd))
        bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    report.note(**remove())
    report.note(finished=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
