"""The family behind the protocol of windowed models: files in, predictions out, bad requests refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from geo4d.errors import BadRequest, GeoError, OutOfMemory
from geo4d.models import licence, registry, weight_file
from geo4d.models.windowed import STAGE, ModelOptions, ModelRequest, check_model, open_model
from geo4d.progress import Silent

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')

from geo4d.models.vggt4d import memory  # noqa: E402 - needs torch
from geo4d.models.vggt4d.convert import convert  # noqa: E402
from small_vggt import SIZES, save_plain, save_release, small_network  # noqa: E402

FOOTAGE = (480, 360)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_release(tmp_path_factory.mktemp("weights") / "4d.pt")


class Watcher(Silent):
    def __init__(self):
        super().__init__()
        self.stages, self.lines = set(), []

    def advance(self, stage, done, total):
        self.stages.add(stage)
        assert 0 <= done <= total

    def log(self, text):
        self.lines.append(text)


def request(weights, count: int, footage=FOOTAGE, **options) -> ModelRequest:
    def read(positions, size):
        rng = np.random.default_rng([2, *size])
        clip = rng.integers(0, 255, (count, size[1], size[0], 3), dtype=np.uint8)
        return clip[list(positions)]

    return ModelRequest(*footage, count, 24.0, read, ModelOptions(weights=str(weights), **options))


def predict(weights, count: int, finished=frozenset(), name="4d-vggt", footage=FOOTAGE, **options):
    watcher = Watcher()
    model = open_model(name, request(weights, count, footage, **options), watcher)
    return model, dict(model.run(finished)), watcher


def test_windows_cover_the_shot_and_predictions_hold_what_is_promised(weights):
    model, found, watcher = predict(weights, 40)
    assert [len(w) for w in model.windows] == [32, 32] and set(np.concatenate(model.windows)) == set(range(40))
    assert watcher.stages == {STAGE} and any("gates" in line for line in watcher.lines)
    for number, prediction in found.items():
        assert np.array_equal(prediction.positions, model.windows[number])
        shape = (32, prediction.height, prediction.width)
        assert prediction.width == 56 and prediction.height == 42
        for name in ("depth", "confidence", "points_weight", "dynamic"):
            values = getattr(prediction, name)
            assert values.shape == shape and values.dtype == np.float32 and np.isfinite(values).all()
        assert prediction.points.shape == (*shape, 3)
        assert prediction.c2w.shape == (32, 4, 4) and prediction.c2w.dtype == np.float64
        assert np.allclose(prediction.c2w[0], np.eye(4), atol=1e-9)
        rotation = prediction.c2w[:, :3, :3]
        assert np.allclose(rotation @ rotation.swapaxes(1, 2), np.eye(3), atol=1e-6)
        assert prediction.fx.shape == prediction.fy.shape == (32,) and (prediction.fx > 0).all()


def test_a_run_continues_where_it_stopped(weights):
    _, whole, _ = predict(weights, 40)
    _, rest, _ = predict(weights, 40, frozenset({0}))
    assert list(rest) == [1]
    assert np.array_equal(rest[1].depth, whole[1].depth) and np.array_equal(rest[1].c2w, whole[1].c2w)


def test_short_portrait_plain_exact_and_low_memory(weights, tmp_path):
    model, found, _ = predict(weights, 3, footage=FOOTAGE[::-1])
    assert len(model.windows) == 1 and found[0].depth.shape == (3, 56, 42)
    plain = save_plain(tmp_path / "vggt.safetensors")
    assert predict(plain, 3, name="vggt-1b")[1][0].depth.shape == (3, 42, 56)
    exact = predict(weights, 3, footage=(480, 270), exact=True)[1][0]
    assert (exact.width, exact.height) == (56, 28)
    little, some, watcher = predict(weights, 13, low_memory=True)
    assert [len(w) for w in little.windows] == [12, 12] and any("block by block" in line for line in watcher.lines)
    whole = predict(weights, 13)[0]
    assert np.allclose(whole.predict(little.windows[0]).depth, some[0].depth, rtol=1e-4)


def refused(error, code: str, call, *arguments, **options) -> str:
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    assert caught.value.code == code and caught.value.hint and "\n" not in caught.value.message
    return caught.value.message


def test_one_frame_is_too_few(weights):
    assert "1 frame" in refused(BadRequest, "too_few_frames", predict, weights, 1)


def test_broken_numbers_are_told(tmp_path):
    network = small_network()
    network.spatial_head.trunk_norm.weight[3] = float("nan")
    path = save_release(tmp_path / "nan.pt", network)
    assert "window 1 of 1" in refused(GeoError, "model_not_finite", predict, path, 3)


def test_plan_cuts_until_it_fits_and_then_says_what_it_needs():
    demand = memory.Demand(SIZES, 32, 56, 42, 4)
    roomy = memory.plan(demand, 1 << 30)
    assert roomy.frames_at_once == 8 and not roomy.streamed
    assert memory.plan(replace(demand, frames=3), 1 << 30).frames_at_once == 3  # no more than there are
    plans, cut = [roomy], roomy
    while cut := cut.smaller():
        plans.append(cut)
    assert [p.frames_at_once for p in plans] == [8, 4, 2, 1, 1] and plans[-1].streamed
    needs = [p.needed_bytes for p in plans]
    assert needs == sorted(needs, reverse=True)
    for chosen in plans:
        assert memory.plan(demand, int(chosen.needed_bytes / 0.9) + 2) == chosen
    message = refused(OutOfMemory, "out_of_memory", memory.plan, demand, needs[-1] // 2)
    assert "32 frames of 56 x 42" in message and "MiB" in message


def test_memory_that_ends_on_the_way_is_cut(tmp_path):
    """In a process with a limited address space."""
    command = [sys.executable, Path(__file__).with_name("little_memory_vggt.py"), tmp_path / "4d.pt", "120"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cut = json.loads(done.stdout)
    assert cut["difference"] < 1e-4 and cut["frames"] < 12 and "out of memory" in cut["log"]


def test_conversion_keeps_what_is_used_and_its_provenance(weights, tmp_path):
    silent = Silent()
    manifest = convert(weights, tmp_path / "out.safetensors", progress=silent)
    assert weight_file.verify(tmp_path / "out.safetensors") == manifest
    assert silent.warnings[0][0] == "weights_unknown" and "4d.pt" in manifest["source"]
    a, b = (predict(path, 3)[1][0] for path in (weights, tmp_path / "out.safetensors"))
    assert np.array_equal(a.depth, b.depth)


def test_cards(tmp_path, monkeypatch):
    monkeypatch.setenv("GEO4D_MODELS", str(tmp_path))
    cards = [registry.card(name) for name in ("4d-vggt", "vggt-1b", "vggt-1b-commercial")]
    assert [card.folder for card in cards] == ["vggt4d"] * 3
    assert [licence.needs_consent(card) for card in cards] == [True, True, False]
    assert [card.sources[0].hub.gated for card in cards] == [False, False, True]
    assert "doubtful" in cards[0].licence_note
    for card in cards:
        licence.accept(card)
        code = "weights_missing"
        with pytest.raises(GeoError) as caught:
            check_model(card.name, ModelOptions())
        assert caught.value.code == code
