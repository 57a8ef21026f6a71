"""The repository, enabled as an extension in an empty user folder, and a fresh file for every test."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = "bl_ext.user_default.geo4d"

# Blender reads this once, when bpy is imported.
_user_folder = Path(tempfile.mkdtemp(prefix="geo4d-test-"))
os.environ["BLENDER_USER_RESOURCES"] = str(_user_folder)
bpy = pytest.importorskip("bpy", reason="these tests run inside Blender's Python")


def pytest_configure(config):
    target = _user_folder / "extensions" / "user_default" / "geo4d"
    target.mkdir(parents=True)
    for name in ("__init__.py", "blender_manifest.toml", "geo4d_blender", "engine"):
        (target / name).symlink_to(REPOSITORY / name)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.preferences.addon_enable(module=MODULE)


def pytest_unconfigure(config):
    # A handler that stays registered makes Blender 4.5 hang at exit.
    bpy.ops.preferences.addon_disable(module=MODULE)
    shutil.rmtree(_user_folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def fresh_file():
    """An empty file; the extension stays enabled, for preferences are kept."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


@pytest.fixture
def addon():
    """The add-on's package."""
    return sys.modules[f"{MODULE}.geo4d_blender"]


@pytest.fixture
def engine_python() -> str:
    """The development environment's Python, which has the engine and usd-core."""
    python = os.environ.get("GEO4D_ENGINE_PYTHON") or str(REPOSITORY / ".venv" / "bin" / "python")
    if not Path(python).exists():
        pytest.skip(f"{python} is absent: run make test, or set GEO4D_ENGINE_PYTHON")
    return python
