"""``geo4d reconstruct --model geo4d`` from end to end with a converted file: small, and of random weights.

Random weights predict nonsense, which is the point: every stage runs, says that it does not believe the model, and
the camera is found all the same.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from geo4d.evaluation.evaluate import evaluate_scene
from geo4d.scene.reader import read_scene

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')

from geo4d.models.geo4d.convert import convert  # noqa: E402 - needs torch
from small_geo4d import SIZES, save_checkpoints  # noqa: E402

CLIP = Path(__file__).parents[2] / "data" / "clips" / "room"


@pytest.mark.slow
def test_nonsense_is_recognised_and_the_camera_found_all_the_same(tmp_path):
    weights, target = tmp_path / "small.safetensors", tmp_path / "scene"
    convert(*save_checkpoints(tmp_path), weights, SIZES)
    environment = {**os.environ, "GEO4D_MODELS": str(tmp_path / "models"), "OMP_NUM_THREADS": "1"}

    def geo4d(*arguments):
        command = [sys.executable, "-m", "geo4d", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)

    assert geo4d("models", "accept", "geo4d").returncode == 0
    request = ("reconstruct", CLIP / "clip.mp4", "--first", 4, "--last", 19, "-o", target, "--model", "geo4d")
    done = geo4d(*request, "--weights", weights, "--json")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    events = [json.loads(line) for line in done.stdout.splitlines()]
    warned = {event["code"] for event in events if event["event"] == "warning"}
    assert {"licence", "alignment_unreliable"} <= warned
    assert len(read_scene(target)) == 16
    assert evaluate_scene(target, CLIP)["camera"]["ate_percent"] < 1.0

    again = geo4d(*request, "--weights", weights, "--json")
    assert json.loads(again.stdout.splitlines()[-1])["cached"] is True
