"""Checkpoints in, one safe file out; and every way in which the files can be wrong."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from geo4d.errors import BadRequest, GeoError, OutputError

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
safetensors = pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')

from geo4d.models import weight_file  # noqa: E402 - needs torch
from geo4d.models.geo4d import clip, layout  # noqa: E402
from geo4d.models.geo4d.convert import convert  # noqa: E402
from geo4d.models.geo4d.layout import Sizes  # noqa: E402
from geo4d.models.geo4d.system import load  # noqa: E402
from small_geo4d import SIZES, main_state, save_checkpoints, vae_state  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def converted(checkpoints, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "geo4d.safetensors"
    convert(*checkpoints, path, SIZES)
    return path


def test_official_layout_is_the_released_one():
    keys = Path(os.environ.get("GEO4D_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "geo4d" / "KEYS.txt"
    if not keys.exists():
        pytest.skip(f"the list of the official keys is not at {keys}")
    listed: list[dict] = [{}, {}]
    section = 0
    for line in keys.read_text().splitlines():
        section += line.startswith("SECTION B")
        if line.endswith(" | float32"):
            name, shape, _ = line.split(" | ")
            listed[section][name] = tuple(json.loads(shape))
    assert len(listed[0]) == 2554
    assert layout.main_layout(Sizes()) == listed[0]
    assert layout.vae_layout(Sizes()) == listed[1]


def test_full_size_has_the_released_number_of_parameters():
    shapes = layout.main_layout(Sizes())
    total = {
        prefix: sum(int(np.prod(s)) for n, s in shapes.items() if n.startswith(prefix)) for prefix in ("", layout.UNET)
    }
    assert total == {"": 2_610_107_285, layout.UNET: 1_438_924_112}


def test_weights_survive_conversion(converted):
    system = load(converted)
    state, point = main_state(), vae_state()
    for name, tensor in system.unet.state_dict().items():
        assert torch.equal(tensor, state[layout.UNET + name]), name  # made in half precision, so exactly
    for name, tensor in system.point_vae.state_dict().items():
        assert torch.equal(tensor, point["model." + name]), name
    assert {key.partition(".")[0] for key in weight_file.read_manifest(converted)} >= {"file", "sha256", "source"}


def test_context_is_that_of_the_towers(converted):
    """The stored constants are what prompt and empty picture give when they are run through the towers."""
    state = main_state()
    text = clip.TextTower(SIZES.text)
    text.load_state_dict({k.removeprefix(layout.TEXT): v for k, v in state.items() if k.startswith(layout.TEXT)})
    with torch.inference_mode():
        expected = text.eval()(clip.prompt_tokens(clip.PROMPT))
    assert torch.allclose(load(converted).contexts.text, expected, atol=2e-3)
    assert load(converted).contexts.image.shape == (1, 256, 32)


def test_training_wrapper_and_old_names_give_the_same_file(checkpoints, converted, tmp_path):
    module = {
        "_forward_module." + key.replace("fps_embedding", "framestride_embed"): value
        for key, value in main_state().items()
    }
    path = tmp_path / "model.ckpt"
    torch.save({"module": module, "global_steps": 7}, path)
    convert(path, checkpoints[1], tmp_path / "again.safetensors", SIZES)
    with (
        safetensors.safe_open(tmp_path / "again.safetensors", "pt") as again,
        safetensors.safe_open(converted, "pt") as one,
    ):
        assert set(again.keys()) == set(one.keys())
        assert all(torch.equal(again.get_tensor(key), one.get_tensor(key)) for key in one.keys())


def test_objects_of_the_training_framework_are_read_as_shells(checkpoints, tmp_path):
    class DictConfig:
        def __init__(self):
            self.content = {"a": 1}

    DictConfig.__module__, DictConfig.__qualname__ = "omegaconf.dictconfig", "DictConfig"
    import sys
    import types

    fake = types.ModuleType("omegaconf.dictconfig")
    fake.DictConfig = DictConfig
    path = tmp_path / "model.ckpt"
    sys.modules["omegaconf"], sys.modules["omegaconf.dictconfig"] = types.ModuleType("omegaconf"), fake
    try:
        torch.save({"state_dict": main_state(), "hyper_parameters": DictConfig()}, path)
    finally:
        del sys.modules["omegaconf"], sys.modules["omegaconf.dictconfig"]
    assert convert(path, checkpoints[1], tmp_path / "out.safetensors", SIZES)["model"] == "geo4d"


class Intruder:
    """A pickle that wants to write a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def break_checkpoint(kind: str, main: Path, folder: Path) -> Path:
    path = folder / "model.ckpt"
    if kind == "truncated":
        path.write_bytes(main.read_bytes()[:200_000])
    elif kind == "text":
        path.write_text("<html>quota exceeded</html>")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "code":
        torch.save({"state_dict": {**main_state(), "x": Intruder(folder / "ran")}}, path)
    elif kind == "code, old format":
        torch.save({"state_dict": {"x": Intruder(folder / "ran")}}, path, _use_new_zipfile_serialization=False)
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "not a tensor":
        torch.save({"state_dict": {layout.UNET + "a": 3}}, path)
    else:
        state = main_state()
        if kind == "missing":
            del state[layout.UNET + "out.2.bias"]
        elif kind == "surplus":
            state["lora.weight"] = torch.zeros(1)
        elif kind == "reshaped":
            state[layout.UNET + "input_blocks.0.0.weight"] = torch.zeros(32, 8, 3, 3)
        elif kind == "not a number":
            state[layout.UNET + "out.2.bias"][3] = float("nan")
        torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize(
    "kind, code, words",
    [
        ("truncated", "checkpoint_unreadable", "damaged or cut short"),
        ("text", "checkpoint_unreadable", "model.ckpt"),
        ("empty", "checkpoint_unreadable", "model.ckpt"),
        ("code", "checkpoint_unsafe", "system"),
        ("code, old format", "checkpoint_unreadable", "not a file of weights"),
        ("list", "checkpoint_unknown", "holds a list"),
        ("not a tensor", "checkpoint_unknown", "not a tensor"),
        ("missing", "checkpoint_layout", "1 missing (model.diffusion_model.out.2.bias)"),
        ("surplus", "checkpoint_layout", "1 not known (lora.weight)"),
        ("reshaped", "checkpoint_layout", "is (32, 8, 3, 3), not (32, 20, 3, 3)"),
        ("not a number", "weights_not_finite", "unet.out.2.bias"),
    ],
)
def test_wrong_checkpoints_are_named(checkpoints, tmp_path, kind, code, words):
    main = break_checkpoint(kind, checkpoints[0], tmp_path)
    output = tmp_path / "models" / "geo4d.safetensors"
    with pytest.raises(BadRequest) as caught:
        convert(main, checkpoints[1], output, SIZES)
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.hint
    assert not (tmp_path / "ran").exists()
    assert not output.parent.exists() or not any(output.parent.iterdir())


def test_swapped_files_are_recognised(checkpoints, tmp_path):
    main, vae = checkpoints
    with pytest.raises(BadRequest, match="is a VAE checkpoint"):
        convert(vae, vae, tmp_path / "x.safetensors", SIZES)
    with pytest.raises(BadRequest, match="is the main model"):
        convert(main, main, tmp_path / "x.safetensors", SIZES)
    with pytest.raises(BadRequest, match="no file"):
        convert(tmp_path / "nowhere.ckpt", vae, tmp_path / "x.safetensors", SIZES)


def test_a_full_disk_is_said_before_anything_is_written(checkpoints, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match="GiB free"):
        convert(*checkpoints, tmp_path / "out" / "x.safetensors", SIZES)
    assert not (tmp_path / "out").exists()


def test_changed_bytes_are_noticed(converted, tmp_path):
    path = tmp_path / "geo4d.safetensors"
    shutil.copy(converted, path)
    shutil.copy(weight_file.manifest_path(converted), weight_file.manifest_path(path))
    assert weight_file.verify(path)["model"] == "geo4d"
    with open(path, "r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"\x7f")
    with pytest.raises(BadRequest, match="sha256"):
        weight_file.verify(path)
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 1)
    with pytest.raises(BadRequest, match="bytes"):
        weight_file.verify(path)
    with pytest.raises(BadRequest, match="cut short"):
        load(path)


def test_half_precision_keeps_what_it_cannot_hold(tmp_path):
    tensors = {"big": torch.tensor([1e6, -2.0]), "small": torch.tensor([0.5])}
    weight_file.write(tmp_path / "w.safetensors", tensors, {}, torch.float16)
    with safetensors.safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("big"), tensors["big"])
        assert file.get_tensor("small").dtype == torch.float16


def test_foreign_safetensors_are_refused(tmp_path):
    weight_file.write(tmp_path / "w.safetensors", {"a": torch.zeros(2)}, {"format": "other"}, torch.float16)
    with pytest.raises(GeoError, match="has the format other"):
        load(tmp_path / "w.safetensors")
