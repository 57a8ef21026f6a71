"""Geo4D behind the protocol of windowed models: a converted file in, predictions out, bad requests refused."""

import numpy as np
import pytest
from geo4d.errors import BadRequest, GeoError, ModelMissing, OutOfMemory
from geo4d.models import licence, registry
from geo4d.models.windowed import STAGE, ModelOptions, ModelRequest, check_model, open_model
from geo4d.progress import Silent

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')

from geo4d.models.geo4d import memory  # noqa: E402 - needs torch
from geo4d.models.geo4d.convert import convert  # noqa: E402
from small_geo4d import SIZES, save_checkpoints  # noqa: E402

torch.set_num_threads(1)
FOOTAGE = (480, 270)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    path = folder / "small.safetensors"
    convert(*save_checkpoints(folder), path, SIZES)
    return path


@pytest.fixture(autouse=True)
def agreed(tmp_path, monkeypatch):
    monkeypatch.setenv("GEO4D_MODELS", str(tmp_path / "models"))
    licence.accept(registry.GEO4D)


class Watcher(Silent):
    def __init__(self):
        super().__init__()
        self.stages, self.lines = set(), []

    def advance(self, stage, done, total):
        self.stages.add(stage)
        assert 0 <= done <= total

    def log(self, text):
        self.lines.append(text)


def request(weights, count: int = 2, **options) -> ModelRequest:
    rng = np.random.default_rng(2)
    clip = rng.integers(0, 255, (count, 64, 128, 3), dtype=np.uint8)

    def read(positions, size):
        assert size == (128, 64)  # of 16:9 at the few pixels that this network was made for
        return clip[list(positions)]

    return ModelRequest(*FOOTAGE, count, 23.976, read, ModelOptions(weights=str(weights), **options))


def predict(weights, count: int = 2, finished=frozenset(), **options):
    watcher = Watcher()
    model = open_model("geo4d", request(weights, count, **options), watcher)
    return model, dict(model.run(frozenset(finished))), watcher


def test_a_shot_becomes_predictions(weights):
    model, predictions, watcher = predict(weights)
    assert [w.tolist() for w in model.windows] == [[0, 1] * 8]
    assert predictions[0].positions.tolist() == [0, 1]
    assert (predictions[0].width, predictions[0].height) == (128, 64)
    assert predictions[0].points.shape == (2, 64, 128, 3)
    assert watcher.stages == {STAGE}
    assert "128 x 64 in float32 on cpu" in watcher.lines[0]
    assert model.inference.fs == 24


def test_low_memory_predicts_the_same(weights):
    """Weights stay in the mapped file in half precision; arithmetic is float32 all the same."""
    usual, sparing = predict(weights)[1][0], predict(weights, low_memory=True)
    assert sparing[0].inference.plan.streamed
    assert np.abs(sparing[1][0].points - usual.points).max() < 1e-4


def test_a_continued_run_does_only_what_is_missing(weights):
    model, rest, _ = predict(weights, 18, finished={0}, stride=4)
    assert len(model.windows) == 2
    assert list(rest) == [1]


def test_one_frame_is_enough(weights):
    _, predictions, _ = predict(weights, 1)
    assert predictions[0].positions.tolist() == [0]
    assert np.isfinite(predictions[0].points).all()


def test_exact_mode_is_the_released_one(weights):
    model = open_model("geo4d", request(weights, 16, exact=True), Silent())
    assert len(model.windows) == 2  # the last window twice
    assert model.inference.settings.posterior == "sample"
    assert model.inference.fs == 23


def test_what_cannot_be_done_is_said(weights, tmp_path):
    with pytest.raises(ModelMissing, match="no weights at"):
        open_model("geo4d", request(tmp_path / "none.safetensors"), Silent())
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(BadRequest, match="cut short"):
        open_model("geo4d", request(damaged), Silent())
    if not torch.cuda.is_available():
        with pytest.raises(BadRequest, match="finds no CUDA device"):
            open_model("geo4d", request(weights, device="cuda"), Silent())


def test_too_little_memory_is_said_before_weights_are_read(weights):
    demand = memory.Demand(SIZES, 128, 64, 4)
    with pytest.raises(OutOfMemory, match="MiB are free"):
        memory.plan(demand, 1 << 20)


def test_weights_of_nothing_but_noise_are_noticed(tmp_path):
    """A network whose numbers overflow must not become a scene."""
    main, vae = save_checkpoints(tmp_path)
    state = torch.load(main, weights_only=True)
    state["state_dict"]["model.diffusion_model.out.2.weight"].mul_(1e30)
    torch.save(state, main)
    convert(main, vae, tmp_path / "wild.safetensors", SIZES)
    with pytest.raises(GeoError, match="not numbers in window 1 of 1") as caught:
        predict(tmp_path / "wild.safetensors", 1)
    assert caught.value.code == "model_not_finite"


def test_nothing_runs_before_its_licence_is_accepted(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("GEO4D_MODELS", str(tmp_path / "new"))
    with pytest.raises(BadRequest, match="not accepted yet"):
        check_model("geo4d", ModelOptions(weights=str(weights)))
