"""What the panel says of the engines is what the engines say of themselves."""

import json
import subprocess
from pathlib import Path

import bpy
import pytest


@pytest.fixture
def chosen(addon):
    preferences = bpy.context.preferences.addons[addon.compat.PACKAGE].preferences
    yield preferences
    preferences.python = preferences.models_python = ""


def test_panel_knows_every_model_and_its_licence(addon, engine_python):
    done = subprocess.run(
        [engine_python, "-m", "geo4d", "models", "list", "--json"], capture_output=True, text=True, check=True
    )
    models = {model["name"]: model for model in json.loads(done.stdout)}
    engines = dict(addon.engines.ENGINES)
    assert not engines.pop("tracks").licence
    assert engines.keys() == models.keys()
    for name, engine in engines.items():
        assert bool(engine.licence) >= (models[name]["commercial_use"] is not True), "said before it runs"


def test_each_engine_runs_in_its_python(addon, chosen):
    tracks, geo4d = (addon.engines.ENGINES[name] for name in ("tracks", "geo4d"))
    assert addon.preferences.engine_python(geo4d) == ""
    chosen.python = "/one"
    assert addon.preferences.engine_python(tracks) == addon.preferences.engine_python(geo4d) == "/one"
    chosen.models_python = "/two"
    assert addon.preferences.engine_python(tracks) == "/one"
    assert addon.preferences.engine_python(geo4d) == "/two"
    bpy.context.scene.geo4d.engine = "geo4d"
    assert bpy.context.scene.geo4d.engine_arguments()[:2] == ["--model", "geo4d"]


def test_the_lens_is_known_or_of_a_kind(addon):
    settings = bpy.context.scene.geo4d
    settings.lens_known, settings.lens = False, "zoom"
    assert settings.engine_arguments()[-2:] == ["--lens", "zoom"]
    settings.lens_known, settings.focal_mm = True, 50.0
    assert settings.engine_arguments()[-4:] == ["--focal-mm", "50", "--sensor-mm", "36"]


def test_a_model_without_its_python_is_refused(addon, chosen, tmp_path):
    bpy.context.scene.geo4d.engine = "geo4d"
    with pytest.raises(RuntimeError, match="needs a Python that has torch"):
        bpy.ops.geo4d.reconstruct(source="FILE", filepath=str(tmp_path / "clip.mp4"))


def test_a_licence_is_shown_and_accepted_before_a_model_runs(addon, chosen, engine_python, tmp_path, monkeypatch):
    monkeypatch.setenv("GEO4D_MODELS", str(tmp_path / "models"))
    clip = Path(__file__).parents[1] / "data" / "clips" / "room" / "clip.mp4"
    chosen.models_python = engine_python
    bpy.context.scene.geo4d.engine = "geo4d"
    bpy.context.scene.geo4d.output = str(tmp_path)

    def refused() -> str:
        with pytest.raises(RuntimeError, match=r"\."):
            bpy.ops.geo4d.reconstruct(source="FILE", filepath=str(clip))
        return addon.job.current.error["code"]

    assert refused() == "licence_not_accepted"
    assert bpy.ops.geo4d.accept_licence() == {"FINISHED"} and addon.job.current.state == "DONE"
    assert refused() == "weights_missing"
