"""``geo4d models`` from official files to weights in place: converted, fetched from a hub, agreed to."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from geo4d.cli.main import main
from geo4d.errors import EXIT_BAD_REQUEST, EXIT_FAILED, EXIT_OK
from geo4d.models import licence, registry, weight_file

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')

from geo4d.models.geo4d.system import load  # noqa: E402 - needs torch
from hub_server import COMMIT, HubServer  # noqa: E402
from small_geo4d import SIZES, main_state, save_checkpoints  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """Folder with model.ckpt, vae.ckpt and sizes.json of the small network."""
    folder = tmp_path_factory.mktemp("official")
    save_checkpoints(folder)
    (folder / "sizes.json").write_text(SIZES.to_json())
    return folder


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("GEO4D_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def training_wrapper(path):
    """The other shape of the official file: a training framework's, with an older name of the same layers."""
    module = {
        "_forward_module." + key.replace("fps_embedding", "framestride_embed"): value
        for key, value in main_state().items()
    }
    torch.save({"module": module, "global_steps": 7}, path)
    return path


def test_convert_as_a_program_sees_it(official, models):
    """A process of its own: JSON lines, exit status, the weights in place with their manifest, nothing else."""
    command = [sys.executable, "-m", "geo4d", "models", "convert", "--json", "--sizes", official / "sizes.json"]
    done = subprocess.run(
        [*command, official / "model.ckpt", official / "vae.ckpt"], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == EXIT_OK, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (result,) = [event for event in events if event["event"] == "result"]
    assert [event["stage"] for event in events if event["event"] == "progress"][-1] == "write"
    assert any(event["event"] == "warning" and event["code"] == "licence" for event in events)
    assert sorted(p.name for p in models.iterdir()) == ["geo4d.safetensors", "geo4d.safetensors.json"]
    content = (models / "geo4d.safetensors").read_bytes()
    assert result["sha256"] == hashlib.sha256(content).hexdigest()
    assert result["bytes"] == len(content)
    assert load(models / "geo4d.safetensors").contexts.image.shape == (1, 256, 32)


def test_both_shapes_and_old_names_become_the_same_file(official, models, tmp_path, capsys):
    wrapped = training_wrapper(tmp_path / "wrapped.ckpt")
    rest = [str(official / "vae.ckpt"), "--sizes", str(official / "sizes.json"), "-o"]
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    assert main(["models", "convert", str(official / "model.ckpt"), *rest, str(one)]) == EXIT_OK
    assert main(["models", "convert", str(wrapped), *rest, str(other)]) == EXIT_OK
    a, b = (load(path).unet.state_dict() for path in (one, other))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    sources = [json.loads(weight_file.read_manifest(path)["source"])[0]["file"] for path in (one, other)]
    assert sources == ["model.ckpt", "wrapped.ckpt"]
    assert not models.exists()


def test_sizes_that_are_none_are_refused(official, tmp_path, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text('{"unet": 3}')
    files = [str(official / "model.ckpt"), str(official / "vae.ckpt")]
    assert main(["models", "convert", *files, "--sizes", str(bad)]) == EXIT_BAD_REQUEST
    assert "sizes of the network" in capsys.readouterr().err
    assert main(["models", "convert", files[0]]) == EXIT_BAD_REQUEST
    assert "2 files, 1 were given" in capsys.readouterr().err


def test_local_files_are_taken_once_the_licence_is_accepted(official, models, capsys):
    files = [str(official / "model.ckpt"), str(official / "vae.ckpt"), "--sizes", str(official / "sizes.json")]
    assert main(["models", "download", "geo4d", *files]) == EXIT_BAD_REQUEST
    told = capsys.readouterr().err
    assert "none stated" in told and "geo4d models accept geo4d" in told
    assert not models.exists()
    assert main(["models", "accept", "geo4d"]) == EXIT_OK
    assert main(["models", "download", "geo4d", *files]) == EXIT_OK
    assert (official / "model.ckpt").exists()  # the user's own files stay
    assert main(["models", "verify", "geo4d"]) == EXIT_OK
    capsys.readouterr()
    assert main(["models", "list", "--json"]) == EXIT_OK
    (card,) = [model for model in json.loads(capsys.readouterr().out) if model["name"] == "geo4d"]
    assert card["ready"] and card["present"] and card["accepted"] and card["lacks"] == []
    assert card["torch"] and card["device"]


def test_changed_terms_are_asked_for_again(models):
    licence.accept(registry.GEO4D)
    assert licence.accepted(registry.GEO4D)
    assert not licence.accepted(replace(registry.GEO4D, licence_note="Other terms."))
    assert licence.accepted(replace(registry.GEO4D, name="free", licence="MIT", commercial_use=True))


@pytest.fixture
def hub(official, monkeypatch):
    """A hub that has both files, and a card that says so."""
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        sources = []
        for source in registry.GEO4D.sources:
            content = (official / source.name).read_bytes()
            server.files[source.name] = content
            place = registry.HubFile("owner/geo4d", COMMIT, source.name)
            digest = hashlib.sha256(content).hexdigest()
            sources.append(replace(source, hub=place, bytes_exact=len(content), sha256=digest))
        card = replace(registry.GEO4D, sources=tuple(sources), bytes_about=1 << 20)
        monkeypatch.setitem(registry.MODELS, "geo4d", card)
        yield server


def test_download_from_a_hub(hub, official, models, capsys):
    arguments = ["models", "download", "geo4d", "--sizes", str(official / "sizes.json")]
    assert main(arguments) == EXIT_BAD_REQUEST  # the licence first, and nothing fetched before
    assert hub.tokens == []
    hub.limit = 100_000
    assert main([*arguments, "--accept-licence"]) == EXIT_FAILED
    assert "Run it again to continue" in capsys.readouterr().err
    hub.limit = None
    assert main(arguments) == EXIT_OK
    assert hub.ranges == [100_000]
    assert main(["models", "verify", "geo4d"]) == EXIT_OK
    assert [p.name for p in models.rglob("*.ckpt*")] == []  # what was fetched is not kept twice


def test_download_says_before_it_begins_that_the_disk_is_too_small(hub, models, monkeypatch, capsys):
    huge = replace(registry.MODELS["geo4d"], bytes_about=1 << 60)
    monkeypatch.setitem(registry.MODELS, "geo4d", huge)
    assert main(["models", "download", "geo4d", "--accept-licence"]) == EXIT_FAILED
    assert "GiB free; the weights need" in capsys.readouterr().err
    assert hub.tokens == []
