"""Training of the depth network: a budget in minutes or steps, resumable, the last good state always on disk."""

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ...errors import BadRequest, GeoError, OutputError
from ...progress import Progress
from ...scene.checkpoint import replace_atomically
from .batches import Pool
from .export import read_onnx
from .loss import training_loss
from .network import VERSION, DepthNetwork, NetworkConfig

STATE = "state.pt"
LOG = "log.jsonl"
WARM_UP = 100  # steps
GRADIENT_LIMIT = 1.0
AVERAGE = 0.998  # of the moving average of the weights, which is what ships
PATIENCE = 5  # steps without a finite loss before the last good state is taken up again
RETREATS = 3  # how often that is done


@dataclass
class TrainSettings:
    """What a run is asked to do."""

    folder: Path  # state, log; examples are read from ``examples``
    examples: Path
    minutes: float = 60.0  # of this run, after which the learning rate has come down to nothing
    steps: int | None = None  # instead of minutes: a run that can be repeated exactly
    learning_rate: float = 1e-3
    seed: int = 0
    device: str = "cpu"
    save_every: int = 200  # steps
    config: NetworkConfig | None = None
    start: Path | None = None  # weights (.onnx) to begin with where the folder holds no state yet


@dataclass
class State:
    """Everything that a run continues from."""

    network: DepthNetwork
    average: DepthNetwork
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0


def new_state(settings: TrainSettings) -> State:
    """Fresh weights, or those of ``settings.start``."""
    torch.manual_seed(settings.seed)
    network = (read_onnx(settings.start) if settings.start else DepthNetwork(settings.config)).to(settings.device)
    average = DepthNetwork(network.config).to(settings.device)
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    return State(network.train(), average.requires_grad_(False).eval(), optimiser)


def save_state(path: Path, state: State) -> None:
    """Write a state whole or not at all; a full disk leaves the one before in place."""
    stored = {
        "version": VERSION,
        "config": asdict(state.network.config),
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


def load_state(path: Path, settings: TrainSettings) -> State:
    """Read a state back. Refuses another architecture and files that are none."""
    try:
        stored = torch.load(path, map_location=settings.device, weights_only=True)
        version, config = stored["version"], NetworkConfig(**{k: tuple(v) for k, v in stored["config"].items()})
    except Exception as error:  # torch raises many kinds for a damaged file
        raise BadRequest(
            "bad_checkpoint",
            f"{path} is not a training state of the depth network: {error}.",
            "Give another folder, or delete the file to start anew.",
        ) from error
    wanted = settings.config or config
    if version != VERSION or config != wanted:
        raise BadRequest(
            "checkpoint_version",
            f"{path} holds architecture {version} with widths {config.widths}; this program trains architecture "
            f"{VERSION} with widths {wanted.widths}.",
            "Train into another folder, or use the program's version that made the file.",
        )
    state = new_state(replace(settings, config=config, start=None))
    state.network.load_state_dict(stored["network"])
    state.average.load_state_dict(stored["average"])
    state.optimiser.load_state_dict(stored["optimiser"])
    state.step, state.seconds = stored["step"], stored["seconds"]
    return state


def train(settings: TrainSettings, progress: Progress) -> State:
    """Run one schedule, from ``folder``'s state if it has one, and return the state at its end.

    Raises
    ------
    GeoError ``no_examples`` without anything to learn from, ``training_diverged`` when the loss stays NaN (the last
    good state is on disk); Cancelled by ``progress`` after the state has been saved.
    """
    path = settings.folder / STATE
    state = load_state(path, settings) if path.exists() else new_state(settings)
    pool = Pool(settings.examples)
    pool.refresh()
    if not pool.clips:
        raise GeoError(
            "no_examples",
            f"There are no training examples in {settings.examples}.",
            "Make some first: geo4d train depth --make-examples N.",
        )
    if not path.exists():
        save_state(path, state)
    run = _Run(settings, state, pool, progress, path)
    try:
        run.steps()
    finally:
        if run.healthy:
            save_state(path, run.state)
    return run.state


class _Run:
    """One schedule from its first step to its last."""

    def __init__(self, settings: TrainSettings, state: State, pool: Pool, progress: Progress, path: Path):
        self.settings, self.state, self.pool, self.progress, self.path = settings, state, pool, progress, path
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
                group["lr"] = max(rate, 1e-6) * 0.3**retreats
            parts = self._step()
            if parts is None:
                missed += 1
                if missed >= PATIENCE:
                    retreats += 1
                    if retreats > RETREATS:
                        self.healthy = False
                        raise GeoError(
                            "training_diverged",
                            f"The loss was not a number {missed} times running at step {state.step}, also after "
                            f"{RETREATS} returns to the last good state.",
                            f"The last good state is kept in {self.path}; try a lower --learning-rate.",
                        )
                    self.state, missed = load_state(self.path, self.settings), 0
                    self.progress.warn("training_unstable", "The loss was not a number: back to the last good state.")
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
                save_state(self.path, state)
                self.pool.refresh()
            self.progress.advance("train", int(share * 1000), 1000)

    def _step(self) -> dict[str, float] | None:
        """One update; None where the loss or its gradient is not finite (nothing is changed then)."""
        state, device = self.state, self.settings.device
        batch = {name: value.to(device) for name, value in self.pool.batch(self.rng).items()}
        state.optimiser.zero_grad(set_to_none=True)
        loss, parts = training_loss(state.network(batch["maps"], batch["sweep"]), batch)
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

    def _log(self, parts: dict[str, float]) -> None:
        line = {"step": self.state.step, "seconds": round(self.state.seconds, 1), "examples": self.pool.count}
        line |= {name: round(value, 5) for name, value in parts.items()}
        with open(self.settings.folder / LOG, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")
        self.progress.log(json.dumps(line))
