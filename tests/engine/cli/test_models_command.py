"""``geo4d models``: what a person and a program are told."""

import json
from dataclasses import replace

import pytest
from geo4d.cli.main import main
from geo4d.errors import EXIT_BAD_REQUEST, EXIT_MODEL_MISSING, EXIT_OK
from geo4d.models import registry


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GEO4D_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_list_says_that_no_licence_is_stated(capsys):
    assert main(["models", "list"]) == EXIT_OK
    out = capsys.readouterr().out
    assert "geo4d" in out and "not here" in out and "none stated; no commercial use" in out
    assert main(["models", "list", "--json"]) == EXIT_OK
    (model,) = [m for m in json.loads(capsys.readouterr().out) if m["name"] == "geo4d"]
    assert model["licence"] is None and model["commercial_use"] is False and model["present"] is False


def test_info_and_download_name_both_files(capsys):
    assert main(["models", "info", "geo4d"]) == EXIT_OK
    assert "11K0ubqytun-SA5RIOgR7ejNIR8B4uois" in capsys.readouterr().out
    assert main(["models", "download", "geo4d"]) == EXIT_MODEL_MISSING
    told = capsys.readouterr().err
    assert "model.ckpt = Google Drive file 11K0" in told and "vae.ckpt = Google Drive file 10SP" in told


@pytest.mark.parametrize("action", ["verify", "remove"])
def test_absent_weights_are_said_to_be_absent(capsys, action):
    assert main(["models", action, "geo4d"]) == EXIT_MODEL_MISSING
    assert "no weights at" in capsys.readouterr().err


def test_unknown_models_and_wrong_counts_are_refused(capsys):
    assert main(["models", "info", "geo5d"]) == EXIT_BAD_REQUEST
    assert "Known are: geo4d" in capsys.readouterr().err
    assert main(["models", "download", "geo4d", "one.ckpt"]) == EXIT_BAD_REQUEST
    assert "2 files, 1 were given" in capsys.readouterr().err


def test_remove_deletes_weights_and_manifest(capsys, empty_folder):
    empty_folder.mkdir()
    for name in ("geo4d.safetensors", "geo4d.safetensors.json"):
        (empty_folder / name).write_text("{}")
    assert main(["models", "remove", "geo4d"]) == EXIT_OK
    assert not any(empty_folder.iterdir())


def test_converting_what_is_no_checkpoint(capsys, tmp_path, empty_folder):
    pytest.importorskip("torch", reason="torch is not installed")
    (tmp_path / "model.ckpt").write_text("<html>")
    paths = [str(tmp_path / "model.ckpt"), str(tmp_path / "vae.ckpt")]
    assert main(["models", "convert", *paths]) == EXIT_BAD_REQUEST
    assert "model.ckpt" in capsys.readouterr().err
    assert not empty_folder.exists()


def test_weights_that_come_with_the_program_are_neither_fetched_nor_removed(capsys, monkeypatch):
    card = replace(registry.GEO4D, shipped=True)
    monkeypatch.setitem(registry.MODELS, "geo4d", card)
    assert registry.weights_path("geo4d").parts[-4:] == ("models", "geo4d", "weights", "geo4d.safetensors")
    for arguments in (["download", "geo4d"], ["remove", "geo4d"], ["convert", "one.ckpt", "two.ckpt"]):
        assert main(["models", *arguments]) == EXIT_BAD_REQUEST
        assert "come with the program" in capsys.readouterr().err
