"""The loop of all trainings: repeatable, resumable, and never without its last good state."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from geo4d.errors import BadRequest, Cancelled, GeoError
from geo4d.progress import Silent

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')

from geo4d.training import loop  # noqa: E402 - needs torch
from geo4d.training.loop import LOG, STATE, LoopSettings, load_state, train  # noqa: E402

torch.set_num_threads(1)


class Line:
    """Fits a line through points of one."""

    name, version = "a line", 1

    def __init__(self, width: int = 2, slope: float = 3.0):
        self.config, self.slope, self.refreshed = {"width": width}, slope, 0

    def network(self):
        return torch.nn.Linear(self.config["width"], 1)

    def loss(self, network, rng):
        x = torch.from_numpy(rng.normal(size=(16, self.config["width"])).astype(np.float32))
        loss = ((network(x) - self.slope * x.sum(1, keepdim=True) - 1) ** 2).mean()
        return loss, {"miss": float(loss.detach().sqrt())}

    def refresh(self):
        self.refreshed += 1


@pytest.fixture()
def settings(tmp_path):
    return LoopSettings(tmp_path / "run", steps=6, learning_rate=0.1)


def test_loss_falls_and_the_average_learns(settings):
    task = Line()
    state = train(task, replace(settings, steps=1500), Silent())
    lines = [json.loads(line) for line in (settings.folder / LOG).read_text().splitlines()]
    assert lines[-1]["loss"] < 0.02 * lines[0]["loss"]
    assert torch.allclose(state.average.weight, torch.full((1, 2), 3.0), atol=0.05)
    assert task.refreshed == 7


def test_runs_of_steps_are_repeatable_and_continue(settings, tmp_path):
    first = train(Line(), settings, Silent())
    again = train(Line(), replace(settings, folder=tmp_path / "again"), Silent())
    assert torch.equal(first.average.weight, again.average.weight)
    more = train(Line(), settings, Silent())
    assert more.step == 12 and more.seconds > first.seconds


def test_minutes_are_kept(settings):
    state = train(Line(), replace(settings, steps=None, minutes=0.01), Silent())
    assert 0 < state.seconds < 5


def test_a_stopped_run_keeps_its_last_step(settings):
    class Impatient(Silent):
        calls = 0

        def advance(self, stage, done, total):
            self.calls += 1
            if self.calls == 3:
                raise Cancelled

    with pytest.raises(Cancelled):
        train(Line(), settings, Impatient())
    assert load_state(Line(), settings.folder / STATE, settings).step == 3


def test_nan_returns_to_the_last_good_state_and_then_gives_up(settings):
    train(Line(), settings, Silent())
    progress = Silent()
    with pytest.raises(GeoError, match="not a number") as caught:
        train(Line(slope=math.nan), settings, progress)
    assert caught.value.code == "training_diverged"
    assert len(progress.warnings) == loop.RETREATS
    state = load_state(Line(), settings.folder / STATE, settings)
    assert state.step == 6 and state.network.weight.isfinite().all()


def test_other_architectures_and_damaged_files_are_refused(settings):
    train(Line(), settings, Silent())
    path = settings.folder / STATE
    with pytest.raises(BadRequest, match="width 2; this run trains a line of architecture 1 with width 3"):
        train(Line(3), settings, Silent())
    stored = torch.load(path, weights_only=True)
    torch.save({**stored, "version": 99}, path)
    with pytest.raises(BadRequest, match="architecture 99"):
        train(Line(), settings, Silent())
    path.write_bytes(b"no state")
    with pytest.raises(BadRequest, match="not a training state of a line"):
        train(Line(), settings, Silent())


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
def test_full_disk_keeps_the_last_state(settings):
    train(Line(500), settings, Silent())
    code = (
        "import resource, sys, pathlib; sys.path.insert(0, sys.argv[2]); from test_loop import *\n"
        "from geo4d.errors import OutputError\n"
        "run = LoopSettings(pathlib.Path(sys.argv[1]), steps=1)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try:\n    train(Line(500), run, Silent())\nexcept OutputError as error:\n    print(error.code)\n"
    )
    arguments = [sys.executable, "-c", code, str(settings.folder), str(__file__).rpartition("test_loop")[0]]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("cannot_write"), done.stderr
    assert load_state(Line(500), settings.folder / STATE, settings).step == 6
