"""The loop that every training shares: a budget in minutes or steps, resumable, the last good state always on disk."""

import contextlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import BadRequest, GeoError, OutputError
from ..progress import Progress
from ..scene.checkpoint import replace_atomically

STATE = "state.pt"
LOG = "log.jsonl"
WARM_UP = 100  # steps
GRADIENT_LIMIT = 1.0
AVERAGE = 0.998  # of the moving average of the weights, which is what ships
PATIENCE = 5  # steps without a finite loss before the last good state is taken up again
RETREATS = 3  # how often that is done
LEAST_RATE = 1e-6


class Task(Protocol):
    """What is trained, on what."""

    name: str  # in messages: "the depth network"
    version: int  # of the architecture
    config: dict  # of the architecture, as JSON has it

    def network(self) -> nn.Module:
        """With the weights that a new run begins from."""
        ...

    def loss(self, network: nn.Module, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch that ``rng`` draws, and its parts for the log."""
        ...

    def refresh(self) -> None:
        """Take in what has been made to learn from since the last call."""
        ...


@dataclass
class LoopSettings:
    """What a run is asked to do."""

    folder: Path  # of state and log
    minutes: float = 60.0  # of this run, after which the learning rate has come down to nothing
    steps: int | None = None  # instead of minutes: a run that can be repeated exactly
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 0
    device: str = "cpu"
    save_every: int = 200  # steps


@dataclass
class State:
    """Everything that a run continues from."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0


def new_state(task: Task, settings: LoopSettings) -> State:
    torch.manual_seed(settings.seed)
    network, average = task.network().to(settings.device), task.network().to(settings.device)
    average.load_state_dict(network.state_dict())
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return State(network.train(), average.requires_grad_(False).eval(), optimiser)


def save_state(task: Task, path: Path, state: State) -> None:
    """Write a state whole or not at all; a full disk leaves the one before in place. Raises OutputError."""
    stored = {
        "version": task.version,
        "config": json.dumps(task.config, sort_keys=True),
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(path, lambda temporary: torch.save(stored, temporary))
    except (OSError, RuntimeError) as error:  # torch reports a failed write as RuntimeError
        raise OutputError(
            "cannot_write",
            f"The training state cannot be written to {path}: {error}.",
            "Free some space and run the same command again: it continues from the last state that was written.",
        ) from error


def load_state(task: Task, path: Path, settings: LoopSettings) -> State:
    """Read a state back. Raises BadRequest for another architecture and for files that are none."""
    try:
        stored = torch.load(path, map_location=settings.device, weights_only=True)
        version, config = stored["version"], json.loads(stored["config"])
    except Exception as error:  # torch raises many kinds for a damaged file
        raise BadRequest(
            "bad_checkpoint",
            f"{path} is not a training state of {task.name}: {error}.",
            "Give another folder, or delete the file to start anew.",
        ) from error
    if version != task.version or config != json.loads(json.dumps(task.config)):
        raise BadRequest(
            "checkpoint_version",
            f"{path} holds architecture {version} with {_short(config)}; this run trains {task.name} of architecture "
            f"{task.version} with {_short(task.config)}.",
            "Train into another folder, or use the program's version that made the file.",
        )
    state = new_state(task, settings)
    state.network.load_state_dict(stored["network"])
    state.average.load_state_dict(stored["average"])
    state.optimiser.load_state_dict(stored["optimiser"])
    state.step, state.seconds = stored["step"], stored["seconds"]
    return state


def train(task: Task, settings: LoopSettings, progress: Progress) -> State:
    """Run one schedule, from ``folder``'s state if it has one, and return the state at its end.

    Raises
    ------
    GeoError ``training_diverged`` when the loss stays NaN (the last good state is on disk); OutputError; BadRequest;
    Cancelled by ``progress`` after the state has been saved.
    """
    path = settings.folder / STATE
    known = path.exists()
    state = load_state(task, path, settings) if known else new_state(task, settings)
    if not known:
        save_state(task, path, state)
    run = _Run(task, settings, state, progress, path)
    try:
        run.steps()
    finally:
        if run.healthy:
            save_state(task, path, run.state)
    return run.state


class _Run:
    """One schedule from its first step to its last."""

    def __init__(self, task: Task, settings: LoopSettings, state: State, progress: Progress, path: Path):
        self.task, self.settings, self.state, self.progress, self.path = task, settings, state, progress, path
        self.rng = np.random.default_rng([settings.seed, state.step])
        self.began = time.monotonic()
        self.seconds_before = state.seconds
        self.first_step = state.step
        self.healthy = True

    def share(self) -> float:
        """How much of this run's budget is used, 0..1."""
        if self.settings.steps is not None:
            return (self.state.step - self.first_step) / max(self.settings.steps, 1)
        return (time.monotonic() - self.began) / (60 * self.settings.minutes)

    def steps(self) -> None:
        missed, retreats, sums, count = 0, 0, {}, 0
        while (share := self.share()) < 1:
            state = self.state
            since = state.step - self.first_step
            rate = self.settings.learning_rate * min(1, (since + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * share))
            for group in state.optimiser.param_groups:
                group["lr"] = max(rate, LEAST_RATE) * 0.3**retreats
            parts = self._step()
            if parts is None:
                missed += 1
                if missed >= PATIENCE:
                    retreats += 1
                    self._retreat(retreats, missed)
                    missed = 0
                continue
            missed = 0
            state.step += 1
            state.seconds = self.seconds_before + time.monotonic() - self.began
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            if state.step % 50 == 0:
                self._log({name: value / count for name, value in sums.items()})
                sums, count = {}, 0
            if state.step % self.settings.save_every == 0:
                save_state(self.task, self.path, state)
                self.task.refresh()
            self.progress.advance("train", int(share * 1000), 1000)

    def _retreat(self, retreats: int, missed: int) -> None:
        if retreats > RETREATS:
            self.healthy = False
            raise GeoError(
                "training_diverged",
                f"The loss was not a number {missed} times running at step {self.state.step}, also after "
                f"{RETREATS} returns to the last good state.",
                f"The last good state is kept in {self.path}; try a lower --learning-rate.",
            )
        self.state = load_state(self.task, self.path, self.settings)
        self.progress.warn("training_unstable", "The loss was not a number: back to the last good state.")

    def _step(self) -> dict[str, float] | None:
        """One update; None where the loss or its gradient is not finite (nothing is changed then)."""
        state = self.state
        state.optimiser.zero_grad(set_to_none=True)
        with self._half():
            loss, parts = self.task.loss(state.network, self.rng)
        if not torch.isfinite(loss):
            return None
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), GRADIENT_LIMIT)
        if not torch.isfinite(norm):
            return None
        state.optimiser.step()
        keep = min(AVERAGE, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            for mean, value in zip(state.average.parameters(), state.network.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
        return {"loss": float(loss.detach()), **parts}

    def _half(self):
        """bfloat16 where the device is good at it."""
        if self.settings.device.startswith("cuda"):
            return torch.autocast("cuda", torch.bfloat16)
        return contextlib.nullcontext()

    def _log(self, parts: dict[str, float]) -> None:
        line = {"step": self.state.step, "seconds": round(self.state.seconds, 1)}
        line |= {name: round(value, 5) for name, value in parts.items()}
        with open(self.settings.folder / LOG, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")
        self.progress.log(json.dumps(line))


def _short(config: dict) -> str:
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in sorted(config.items()))
