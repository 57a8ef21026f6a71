"""``geo4d reconstruct --model mini`` from end to end with the shipped weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from geo4d.evaluation.evaluate import evaluate_scene
from geo4d.scene.reader import read_scene

pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')

CLIP = Path(__file__).parents[3] / "data" / "clips" / "room"


@pytest.mark.slow
def test_cameras_are_right_and_depth_has_the_shape_of_the_room(tmp_path):
    target = tmp_path / "scene"
    environment = {**os.environ, "GEO4D_MODELS": str(tmp_path / "models"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "geo4d", "reconstruct", CLIP / "clip.mp4", "-o", target, "--model", "mini"]
    command += ["--first", 4, "--last", 27, "--threads", 1, "--json"]
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert len(read_scene(target)) == 24
    figures = evaluate_scene(target, CLIP)
    assert figures["camera"]["ate_percent"] < 1.0
    depth = figures["depth"]
    assert depth["coverage"] > 0.95
    assert depth["scale"]["all"]["abs_rel"] < 0.75 * depth["constant"]["all"]["abs_rel"]
    again = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment
    )
    assert json.loads(again.stdout.splitlines()[-1])["cached"] is True
