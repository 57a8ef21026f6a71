"""The way of the models: windows on disk, alignment, refinement, depth, scene."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from geo4d.evaluation.evaluate import evaluate_scene
from geo4d.evaluation.ground_truth import read_ground_truth
from geo4d.footage import open_footage
from geo4d.models.prediction_store import PredictionStore
from geo4d.models.windowed import ModelOptions
from geo4d.pipeline import Settings, cache_key
from geo4d.pipeline.model_engine import WINDOWS, WindowCount
from geo4d.scene.reader import read_scene
from geo4d.scene.workspace import Workspace
from geo4d.windows import cut_windows
from simulated_model import geo4d_like

CLIP = Path(__file__).parents[1] / "data" / "clips" / "room"
FRAMES = 24
SIZE = (192, 128)


def geo4d(*arguments, models: Path):
    command = [sys.executable, "-m", "geo4d", *map(str, arguments)]
    environment = {**os.environ, "GEO4D_MODELS": str(models)}
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)


def events(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that was stopped after its last window and goes on: (scene folder, events).

    The windows are those of a model that is 3 % off with 5 % outliers.
    """
    folder = tmp_path_factory.mktemp("model")
    weights = folder / "weights.safetensors"
    weights.write_bytes(b"never opened, for every window is there")
    settings = Settings(last=FRAMES - 1, model="geo4d", options=ModelOptions(weights=str(weights)))
    truth = read_ground_truth(CLIP)
    shot = open_footage(CLIP / "clip.mp4", first=0, last=FRAMES - 1)
    windows = cut_windows(FRAMES)
    with Workspace(folder / "scene", cache_key(shot.content_hash(), settings)) as work:
        store = PredictionStore(work.folder / WINDOWS, len(windows))
        work.store(WINDOWS, WindowCount(len(windows)))
        for number, positions in enumerate(windows):
            store.save(number, geo4d_like(truth, positions, SIZE, noise=0.03))
    assert geo4d("models", "accept", "geo4d", models=folder).returncode == 0
    request = ("reconstruct", CLIP / "clip.mp4", "-o", folder / "scene", "--last", FRAMES - 1)
    done = geo4d(*request, "--model", "geo4d", "--weights", weights, "--json", models=folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder / "scene", events(done)


def test_scene_is_complete_and_names_its_licence(finished):
    folder, said = finished
    scene = read_scene(folder)
    assert len(scene) == FRAMES and scene.motion == "moving"
    assert len(list((folder / "depth").iterdir())) == FRAMES
    assert sorted(p.name for p in folder.iterdir()) == ["depth", "log.txt", "points.npz", "scene.json", "tracks.npz"]
    model = json.loads((folder / "scene.json").read_text())["model"]
    assert model["name"] == "geo4d" and model["licence"] is None and model["commercial_use"] is False
    assert "licence" in [event["code"] for event in said if event["event"] == "warning"]


def test_camera_and_depth_are_close_to_the_truth(finished):
    errors = evaluate_scene(finished[0], CLIP)
    assert errors["camera"]["ate_percent"] < 0.3
    assert errors["camera"]["focal_error_percent"] < 2
    assert errors["depth"]["scale"]["static"]["abs_rel"] < 0.05
    assert errors["depth"]["coverage"] > 0.95


def test_progress_runs_through_every_stage(finished):
    stages = [event["stage"] for event in finished[1] if event["event"] == "progress"]
    assert list(dict.fromkeys(stages))[-1] == "depth"
    assert {"read", "predict", "align", "track", "solve", "depth"} <= set(stages)
    fractions = [event["fraction"] for event in finished[1] if event["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] > 0.9


def test_a_model_without_weights_says_where_they_come_from(tmp_path):
    geo4d("models", "accept", "geo4d", models=tmp_path)
    request = ("reconstruct", CLIP / "clip.mp4", "-o", tmp_path / "scene", "--model", "geo4d", "--json")
    done = geo4d(*request, models=tmp_path)
    error = events(done)[-1]
    assert done.returncode == 5 and error["code"] == "weights_missing"
    assert "geo4d models info geo4d" in error["hint"]
    assert not (tmp_path / "scene").exists()
