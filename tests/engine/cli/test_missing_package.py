"""A Python that lacks one of the engine's packages: an extension for another Blender, a half-made environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import geo4d
import numpy
import pytest
from geo4d.errors import EXIT_MODEL_MISSING


@pytest.fixture
def bare_python(tmp_path):
    """Environment and command of a Python whose only package is NumPy."""
    packages = tmp_path / "packages"
    packages.mkdir()
    site_packages = Path(numpy.__file__).parent.parent
    for name in ("numpy", "numpy.libs"):
        if (site_packages / name).exists():
            (packages / name).symlink_to(site_packages / name)
    engine = Path(geo4d.__file__).parent.parent
    # -S leaves site-packages out; PYTHONPATH still counts.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(engine), str(packages)])}
    return [sys.executable, "-S", "-m", "geo4d"], environment


def run(bare_python, *arguments):
    command, environment = bare_python
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_doctor_names_what_is_missing(bare_python):
    status, report = run(bare_python, "doctor", "--json")
    assert status == EXIT_MODEL_MISSING
    assert not report["ok"]
    assert report["packages"]["numpy"] == numpy.__version__
    missing = {name for name, version in report["packages"].items() if version is None}
    assert {"av", "cv2", "pycolmap", "OpenEXR"} <= missing
    assert all(problem["code"] == "package_missing" and problem["hint"] for problem in report["problems"])


def test_reconstruct_says_it_in_one_sentence(bare_python, tmp_path):
    status, event = run(bare_python, "reconstruct", "shot.mp4", "-o", str(tmp_path / "scene"), "--json")
    assert status == EXIT_MODEL_MISSING
    assert (event["event"], event["code"]) == ("error", "package_missing")
    assert "cv2" in event["message"] and event["hint"]
    assert not (tmp_path / "scene").exists()
