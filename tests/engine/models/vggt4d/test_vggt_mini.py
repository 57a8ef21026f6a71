"""The small twin that ships: its weights mean something, from the file to a scene."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from geo4d.evaluation.depth_metrics import DepthErrors, fit_scale
from geo4d.evaluation.evaluate import evaluate_scene
from geo4d.models import registry, weight_file
from geo4d.models.windowed import ModelOptions, ModelRequest, check_model, open_model
from geo4d.progress import Silent
from geo4d.scene.reader import read_scene

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
cv2 = pytest.importorskip("cv2")

from geo4d.models.vggt4d.checkpoint import load  # noqa: E402 - needs torch
from geo4d.training.scenes import make_clips  # noqa: E402

NAME = "vggt-mini"
CLIP = Path(__file__).parents[3] / "data" / "clips" / "room"
SEEDS = range(1020, 1220, 20)  # kept from training
FRAMES = 8


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def clips():
    """As in training but for the camera, which pans or passes by."""
    return [make_clips([seed], FRAMES, 96, 160, 12.0, motion="dolly", movers=False, samples=1) for seed in SEEDS]


@pytest.fixture(scope="module")
def predictions(clips):
    out = []
    for clip in clips:
        frames = clip.rgb[0].numpy()

        def read(positions, size, frames=frames):
            return np.stack([cv2.resize(frames[k], size, interpolation=cv2.INTER_AREA) for k in positions])

        request = ModelRequest(160, 96, FRAMES, 12.0, read, ModelOptions())
        model = open_model(NAME, request, Silent())
        out.append(dict(model.run(frozenset()))[0])
    return out


def test_the_weights_are_whole_and_every_part_of_them_is_alive():
    check_model(NAME, ModelOptions())  # neither a licence to accept nor a download
    path = registry.weights_path(NAME)
    assert weight_file.verify(path)["licence"] == "CC0-1.0" and path.stat().st_size < 10_000_000
    network = load(path).float()
    assert network.sizes.window == 5 and network.spatiotemporal_dense_fusion.alpha.abs().min() > 0.02
    with torch.inference_mode():
        out = network(torch.rand(4, 3, 84, 140, generator=torch.Generator().manual_seed(0)), spatial_depth=True)
    assert (out.depth / out.spatial_depth - 1).abs().mean() > 0.01


def test_depth_is_better_than_none(clips, predictions):
    """On most clips: a few, above all of streets, are worse, and weigh as much as any other."""
    ratios = []
    for clip, prediction in zip(clips, predictions, strict=True):
        found, constant = DepthErrors(), DepthErrors()
        true = clip.depth[0].numpy()
        seen = ~clip.sky[0].numpy()
        depth = np.stack([cv2.resize(z, true.shape[:0:-1], interpolation=cv2.INTER_LINEAR) for z in prediction.depth])
        found.add(depth[seen] * fit_scale(depth[seen], true[seen]), true[seen])
        constant.add(np.full(int(seen.sum()), np.median(true[seen])), true[seen])
        ratios.append(found.abs_rel / constant.abs_rel)
    assert np.median(ratios) < 0.85


def test_the_lens_is_guessed(clips, predictions):
    """Of a still lens between about 20 and 70 mm, the angle of view comes out within a third on average."""
    off = []
    for clip, prediction in zip(clips, predictions, strict=True):
        off.append(np.log(prediction.fx.mean() / prediction.width / (float(clip.K[0, 0, 0, 0]) / 160)))
    assert np.abs(off).mean() < 0.5


@pytest.mark.slow
def test_footage_to_scene(tmp_path):
    """The command from footage to a scene: its cameras are the clip's, which the tracks see to, and its depth helps.

    The twin by itself does not see how a camera moves; see docs/model-vggt4d.md.
    """
    command = [sys.executable, "-m", "geo4d", "reconstruct", str(CLIP / "clip.mp4"), "-o", str(tmp_path / "scene")]
    command += ["--first", "4", "--last", "19", "--model", NAME, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GEO4D_MODELS": str(tmp_path / "none")}
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    scene = read_scene(tmp_path / "scene")
    assert len(scene) == 16 and scene.model["name"] == NAME and scene.model["licence"] == "CC0-1.0"
    found = evaluate_scene(tmp_path / "scene", CLIP)
    assert found["camera"]["ate_percent"] < 1.0
    depth = found["depth"]
    assert depth["scale"]["all"]["abs_rel"] < 0.75 * depth["constant"]["all"]["abs_rel"]
