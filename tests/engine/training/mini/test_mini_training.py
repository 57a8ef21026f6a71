"""Training of mini: both parts learn, runs go on, the command makes weights that load."""

import json
import subprocess
import sys

import numpy as np
import pytest
from geo4d.errors import GeoError
from geo4d.progress import Silent

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')

from geo4d.models.mini.config import MiniConfig  # noqa: E402 - needs torch
from geo4d.models.mini.system import Mini, load  # noqa: E402
from geo4d.training import window_clips  # noqa: E402
from geo4d.training.loop import LOG, LoopSettings, train  # noqa: E402
from geo4d.training.mini import schedule  # noqa: E402
from geo4d.training.mini.autoencoding import Autoencoding, true_maps  # noqa: E402
from geo4d.training.mini.denoising import Denoising, figures, resized, whiten  # noqa: E402
from geo4d.training.window_clips import Store  # noqa: E402

torch.set_num_threads(1)
SMALL = MiniConfig(coder=16, features=16, width=32, heads=2, layers=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("clips")
    for seed in (1001, 1002, 1020):  # the last is for validation
        window_clips.make_file(folder / f"{seed:06d}.npz", seed)
    return Store(folder)


def losses(folder) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / LOG).read_text().splitlines()]


def test_both_parts_learn(store, tmp_path):
    coder = Autoencoding(store, SMALL, "cpu", batch=1)
    state = train(coder, LoopSettings(tmp_path / "coder", steps=100, learning_rate=4e-3), Silent())
    found = losses(tmp_path / "coder")
    assert found[-1] < 0.8 * found[0]
    system = Mini(SMALL)
    system.autoencoder.load_state_dict(state.average.state_dict())
    whiten(system, store, "cpu", batches=6)
    with torch.no_grad():
        latents = system.encode(true_maps(store.batch(np.random.default_rng(0), 6, 2)))
    assert 0.6 < latents.std() < 1.6
    before = figures(system, store, "cpu", 4)
    task = Denoising(store, system, "cpu", batch=1, small_share=1.0)
    state = train(task, LoopSettings(tmp_path / "denoiser", steps=150, learning_rate=4e-3), Silent())
    found = losses(tmp_path / "denoiser")
    assert found[-1] < 0.85 * found[0]
    after = figures(state.average, store, "cpu", 4)
    assert after["ray_degrees"] < 0.7 * before["ray_degrees"]
    for name, value in state.network.autoencoder.state_dict().items():
        assert torch.equal(value, system.autoencoder.state_dict()[name]), "the autoencoder is finished"


def test_figures_of_the_truth_are_perfect(store):
    """What is judged is in the same frame and unit as the truth: true latents of an exact coder would score zero."""

    class Exact(Mini):
        def sample(self, rgb):
            return store.held_out(4)[0], None

        def decode(self, windows):
            return true_maps(windows)

    found = figures(Exact(SMALL), store, "cpu", 4)
    assert found["abs_rel"] < 2e-3 and found["delta"] == 1 and found["ray_degrees"] < 0.1
    assert found["constant_abs_rel"] > 0.1


def test_smaller_windows_hold_the_same_geometry(store):
    windows = store.held_out(3)[0]
    small = resized(windows, (80, 48))
    assert torch.allclose(small.rays()[0, 0].mean((1, 2)), windows.rays()[0, 0].mean((1, 2)), atol=1e-4)
    assert small.rgb.shape == (1, 3, 3, 48, 80)
    assert (small.points().median() / windows.points().median() - 1).abs() < 0.1


def test_no_clips_is_said(tmp_path):
    with pytest.raises(GeoError) as caught:
        schedule.run(schedule.MiniSettings(LoopSettings(tmp_path, steps=1), tmp_path / "none"), Silent())
    assert caught.value.code == "no_examples"


def test_command_trains_goes_on_and_writes_weights(tmp_path):
    command = [sys.executable, "-m", "geo4d", "train", "mini", tmp_path / "run", "--clips", "1", "--steps", "6"]
    command += ["--threads", "1", "--batch", "1", "--json"]
    for total in (5, 11):  # of the denoiser: shares of the steps, rounded
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        weights = tmp_path / "run" / schedule.WEIGHTS
        assert json.loads(done.stdout.splitlines()[-1])["weights"] == str(weights)
        from safetensors import safe_open

        with safe_open(weights, "pt") as file:
            assert file.metadata()["steps"] == str(total)
    assert load(weights).config == MiniConfig()
