"""Make the sample clips under tests/data/clips: ``python tests/data/render [SCENE ...]``.

Runs in the engine's environment and starts Blender's Python (``--bpy``, default ``.venv-bpy45/bin/python``) for the
frames. Rendered frames are kept in ``build/samples``; a second run continues there.
"""

import argparse
import ast
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SCENES = ("room", "street", "phone", "tripod", "static")
FPS = 24


def scene_facts(scene: str):
    """Lens and constants of a scene module, read without importing it: that would need bpy."""
    from lens import Lens

    facts = {}
    for node in ast.parse((HERE / f"{scene}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
            if name == "LENS":
                keywords = {k.arg: ast.literal_eval(k.value) for k in value.keywords}
                facts["lens"] = Lens(*[ast.literal_eval(v) for v in value.args], **keywords)
            elif name in ("MOTION", "TITLE", "SAMPLES", "ROTATE_DEG"):
                facts[name.lower()] = ast.literal_eval(value)
    return facts.pop("lens"), facts


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python tests/data/render", description=__doc__.splitlines()[0])
    arguments.add_argument("scenes", nargs="*", default=[], help=f"any of {', '.join(SCENES)}; all if none is named")
    arguments.add_argument("--bpy", default=str(ROOT / ".venv-bpy45/bin/python"), help="Python with Blender's bpy 4.5")
    arguments.add_argument("--cache", type=Path, default=ROOT / "build/samples", help="where rendered frames are kept")
    arguments.add_argument("--out", type=Path, default=ROOT / "tests/data/clips", help="where the clips go")
    arguments.add_argument("--sheet", action="store_true", help="also draw docs/pictures/samples.jpg")
    chosen = arguments.parse_args()
    for scene in chosen.scenes or SCENES:
        if scene not in SCENES:
            arguments.error(f"there is no scene {scene!r}; the scenes are {', '.join(SCENES)}")
        rendered = chosen.cache / scene
        run = subprocess.run(
            [chosen.bpy, str(HERE / "frames.py"), scene, str(rendered)], stdout=subprocess.PIPE, text=True
        )
        if run.returncode:
            print(run.stdout[-4000:], file=sys.stderr)
            print(f"rendering {scene} failed with exit code {run.returncode}", file=sys.stderr)
            return 1
        from film import develop

        lens, facts = scene_facts(scene)
        written = develop(rendered, chosen.out / scene, facts, lens, FPS)
        size = sum(f.stat().st_size for f in (chosen.out / scene).rglob("*") if f.is_file())
        print(f"{scene}: {written['frames']} frames, path {written['path_m']} m, {size / 1e6:.2f} MB")
    if chosen.sheet:
        from contact import draw

        draw(chosen.out, ROOT / "docs/pictures/samples.jpg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
