"""Import, playback and USD export of a scene folder inside Blender; runs in a bpy environment.

    .venv-bpy45/bin/python benchmarks/blender_scene.py SCENE [SCENE ...]

Import is split into its steps, because none of them may hold Blender's window for long. Playback is the evaluation
of the animated points at every frame, the first time (files read) and again (files cached).
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = "bl_ext.user_default.geo4d"


def enable_extension(user_folder: Path):
    """The repository as an enabled extension in an empty user folder; returns the add-on's package."""
    os.environ["BLENDER_USER_RESOURCES"] = str(user_folder)
    import bpy

    target = user_folder / "extensions" / "user_default" / "geo4d"
    target.mkdir(parents=True)
    for name in ("__init__.py", "blender_manifest.toml", "geo4d_blender", "engine"):
        (target / name).symlink_to(ROOT / name)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.preferences.addon_enable(module=MODULE)
    return sys.modules[f"{MODULE}.geo4d_blender"]


def timed(call) -> float:
    """Milliseconds that ``call`` takes."""
    begun = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - begun)


def play(scene, host) -> list[float]:
    import bpy

    def show(frame):
        scene.frame_set(frame)
        host.evaluated_get(bpy.context.evaluated_depsgraph_get())

    return [timed(lambda frame=frame: show(frame)) for frame in range(scene.frame_start, scene.frame_end + 1)]


def measure(addon, folder: str) -> None:
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    importer = sys.modules[f"{MODULE}.geo4d_blender.import_scene"]
    steps = importer.import_steps(folder, scene, importer.ImportOptions())
    times, done = [], False
    while not done:
        begun = time.perf_counter()
        try:
            next(steps)
        except StopIteration as end:
            imported, done = end.value, True
        times.append(1000 * (time.perf_counter() - begun))
    print(f"{folder}: Blender {bpy.app.version_string}, {scene.frame_end - scene.frame_start + 1} frames")
    print(f"  import {sum(times):.0f} ms in {len(times)} steps, the longest {max(times):.0f} ms")
    if imported.points is not None:
        modifier = next(m for m in imported.points.modifiers if m.type == "NODES")
        compat = sys.modules[f"{MODULE}.geo4d_blender.compat"]
        for density in (0.25, 1.0):
            compat.set_modifier_input(modifier, "Density", density)
            imported.points.update_tag()
            first, again = play(scene, imported.points), play(scene, imported.points)
            middle = [sorted(values)[len(values) // 2] for values in (first, again)]
            print(f"  playback at density {density}: median {middle[0]:.0f} ms first, {middle[1]:.0f} ms cached")
    target = Path(tempfile.gettempdir()) / "geo4d-benchmark.usdc"
    milliseconds = timed(lambda: bpy.ops.geo4d.export_usd(filepath=str(target)))
    print(f"  USD export {milliseconds / 1000:.1f} s, {target.stat().st_size / 2**20:.1f} MiB")
    target.unlink()


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    user_folder = Path(tempfile.mkdtemp(prefix="geo4d-benchmark-"))
    addon = enable_extension(user_folder)
    import bpy

    try:
        for folder in sys.argv[1:]:
            measure(addon, folder)
    finally:
        bpy.ops.preferences.addon_disable(module=MODULE)
        shutil.rmtree(user_folder, ignore_errors=True)


if __name__ == "__main__":
    main()
