"""Build the extension's zip, one per Blender platform: the add-on, the CPU engine and the wheels it needs.

The tree is staged under build/extension/<platform>, checked and packed by Blender's own tool (blender_ext.py, which
every bpy wheel and every Blender carries). The zip of a platform holds the wheels of all its Python versions; Blender
installs those that fit. A platform without engine wheels gets a zip that imports, plays and exports finished scenes,
and so does any Blender whose Python has no wheels here (``no-engine``): Blender refuses a zip with wheels for other
Pythons only.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import wheels

ROOT = wheels.ROOT
BUILD = ROOT / "build" / "extension"
DIST = ROOT / "dist"
MANIFEST = "blender_manifest.toml"
NO_ENGINE = "no-engine"  # in place of a platform: a zip for every Blender, without wheels
SOURCES = (MANIFEST, "__init__.py", "LICENSE", "geo4d_blender", "engine/geo4d")  # relative to the repository
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
TOOL_PATTERN = ".venv*/lib/python*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"


def version() -> str:
    """The one version of add-on and engine. Raises :class:`SystemExit` where the two differ."""
    manifest = tomllib.loads((ROOT / MANIFEST).read_text(encoding="utf-8"))["version"]
    engine = re.search(r'__version__ = "(.+)"', (ROOT / "engine/geo4d/__init__.py").read_text(encoding="utf-8"))[1]
    if manifest != engine:
        raise SystemExit(f"extension: {MANIFEST} says version {manifest}, engine/geo4d says {engine}. Make them equal.")
    return manifest


def blender_tool() -> Path:
    """Blender's packaging tool: from $BLENDER_EXT, this interpreter's bpy, or the newest bpy environment."""
    named = os.environ.get("BLENDER_EXT")
    own = sorted(Path(sys.prefix).glob(TOOL_PATTERN.partition("/")[2]))
    found = [Path(named)] if named else own or sorted(ROOT.glob(TOOL_PATTERN))
    if not found or not found[-1].is_file():
        raise SystemExit("extension: no blender_ext.py found. Run `make setup`, or set BLENDER_EXT to Blender's copy.")
    return found[-1]


def zip_path(platform_name: str) -> Path:
    # A repository holds one zip a platform, so the zip for all of them lies a folder deeper, out of its sight.
    folder = DIST / "no_engine" if platform_name == NO_ENGINE else DIST
    return folder / f"geo4d-{version()}-{platform_name.replace('-', '_')}.zip"


def engine_wheels(platform_name: str) -> list[wheels.Wheel]:
    """Locked wheels of a platform; empty for one without an engine."""
    bare = platform_name == NO_ENGINE or platform_name in wheels.PLATFORMS_WITHOUT_ENGINE
    return [] if bare else wheels.locked(platform_name)


def manifest_text(platform_name: str) -> str:
    """The committed manifest with this platform and its wheels, set before the first table."""
    files = [f"./wheels/{wheel.file}" for wheel in engine_wheels(platform_name)]
    lines = [] if platform_name == NO_ENGINE else [f'platforms = ["{platform_name}"]']
    if files:  # Blender's validation refuses an empty list
        lines += ["wheels = [", *(f'    "{file}",' for file in files), "]"]
    head, table, rest = (ROOT / MANIFEST).read_text(encoding="utf-8").partition("[permissions]")
    return head + "\n".join(lines) + "\n\n" + table + rest


def stage(platform_name: str) -> Path:
    """Lay the extension's tree under build/extension/<platform>; wheels are linked, not copied, where possible."""
    folder = BUILD / platform_name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in SOURCES:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=LEFT_OUT)
        else:
            shutil.copyfile(source, target)
    (folder / MANIFEST).write_text(manifest_text(platform_name), encoding="utf-8")
    for wheel in engine_wheels(platform_name):
        wheels.fetch_wheel(wheel)
        target = folder / "wheels" / wheel.file
        target.parent.mkdir(exist_ok=True)
        try:
            os.link(wheel.path, target)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(wheel.path, target)
    return folder


def tree_key(folder: Path) -> str:
    """SHA-256 over names and contents of a staged tree; wheels count by name, their hashes stand in the lock."""
    digest = hashlib.sha256(wheels.LOCK.read_bytes())
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode())
            if path.suffix != ".whl":
                digest.update(path.read_bytes())
    return digest.hexdigest()


def run_tool(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, str(blender_tool()), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"extension: blender_ext.py {arguments[0]} failed:\n{done.stdout}{done.stderr}".rstrip())


def build(platform_name: str) -> Path:
    """Stage, validate and pack one platform's zip. An unchanged tree is not packed again."""
    target = zip_path(platform_name)
    folder = stage(platform_name)
    stamp = BUILD / f"{platform_name}.sha256"
    key = tree_key(folder)
    if target.is_file() and stamp.is_file() and stamp.read_text() == key:
        print(f"extension: {target.relative_to(ROOT)} is up to date")
        return target
    run_tool("validate", str(folder))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial.zip")
    run_tool("build", "--source-dir", str(folder), "--output-filepath", str(partial))
    run_tool("validate", str(partial))
    os.replace(partial, target)
    stamp.write_text(key)
    print(f"extension: {target.relative_to(ROOT)}, {target.stat().st_size / 1e6:.1f} MB")
    return target


def repository() -> Path:
    """Write index.json beside the zips: dist/ can then be served as a static extension repository."""
    run_tool("server-generate", "--repo-dir", str(DIST))
    print(f"extension: {(DIST / 'index.json').relative_to(ROOT)}")
    return DIST / "index.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [*wheels.PLATFORM_TAGS, *wheels.PLATFORMS_WITHOUT_ENGINE, NO_ENGINE]
    parser.add_argument("--platform", choices=[*every, "all"], default=wheels.this_platform())
    parser.add_argument("--repository", action="store_true", help="also write dist/index.json")
    arguments = parser.parse_args()
    for name in every if arguments.platform == "all" else [arguments.platform]:
        build(name)
    if arguments.repository:
        repository()


if __name__ == "__main__":
    main()
