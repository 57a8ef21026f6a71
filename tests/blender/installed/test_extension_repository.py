"""The zip in a static repository, as Blender's own client sees it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy", reason="runs in an environment with bpy")

TOOL = Path(bpy.utils.resource_path("LOCAL")) / "scripts/addons_core/bl_pkg/cli/blender_ext.py"


def run_tool(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def repository(archive, tmp_path_factory) -> Path:
    """A folder with the zip and its index.json."""
    folder = tmp_path_factory.mktemp("repository")
    try:
        os.link(archive, folder / archive.name)
    except OSError:
        shutil.copyfile(archive, folder / archive.name)
    done = run_tool("server-generate", "--repo-dir", folder)
    assert done.returncode == 0, done.stderr
    return folder


def install(repository: Path, local: Path, python: str) -> subprocess.CompletedProcess:
    """What Blender's client does for a Blender that runs on the Python version given."""
    remote = ["--remote-url", (repository / "index.json").as_uri(), "--local-dir", local]
    synced = run_tool("sync", *remote)
    assert synced.returncode == 0, synced.stdout + synced.stderr
    version = ".".join(str(number) for number in bpy.app.version)
    return run_tool("install", *remote, "--blender-version", version, "--python-version", python, "geo4d")


def test_index_names_platform_and_pythons(repository, archive):
    (entry,) = json.loads((repository / "index.json").read_text(encoding="utf-8"))["data"]
    assert entry["id"] == "geo4d"
    assert len(entry["platforms"]) == 1
    assert entry["platforms"][0].replace("-", "_") in archive.name
    assert set(entry["python_versions"]) == {"3.11", "3.13"}
    assert entry["archive_size"] == archive.stat().st_size


def test_installs_for_this_python(repository, tmp_path):
    done = install(repository, tmp_path, f"{sys.version_info[0]}.{sys.version_info[1]}.0")
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    assert (tmp_path / "geo4d" / "geo4d_blender" / "__init__.py").is_file()


def test_refuses_a_python_without_wheels(repository, tmp_path):
    done = install(repository, tmp_path, "3.14.0")
    assert done.returncode != 0
    assert "not compatible" in done.stdout + done.stderr
    assert not (tmp_path / "geo4d").exists()


def test_zip_holds_what_it_should_and_no_more(archive):
    with zipfile.ZipFile(archive) as content:
        names = content.namelist()
    assert {"blender_manifest.toml", "__init__.py", "LICENSE", "engine/geo4d/__main__.py"} <= set(names)
    wheels = [name for name in names if name.startswith("wheels/")]
    assert all(name.endswith(".whl") for name in wheels)
    assert not any("numpy" in name for name in wheels)
    for package in ("av", "opencv_python_headless", "pycolmap", "openexr"):
        assert any(name.startswith(f"wheels/{package}-") for name in wheels), package
    roots = {name.partition("/")[0] for name in names}
    assert roots == {"blender_manifest.toml", "__init__.py", "LICENSE", "engine", "geo4d_blender", "wheels"}
    assert not any("__pycache__" in name or "/." in name for name in names)
