"""A whole schedule of mini: autoencoder, then denoiser, then weights; in a given number of minutes."""

from dataclasses import dataclass, replace
from pathlib import Path

from ...models.mini.config import LARGE, MiniConfig
from ...models.mini.system import Mini, load, save
from ...progress import Progress
from ..loop import STATE, LoopSettings, train
from ..window_clips import Store
from .autoencoding import Autoencoding
from .denoising import Denoising, figures, whiten

AUTOENCODER_SHARE = 0.15  # of the budget
# The rest of it in parts: share, and how many of its batches are small ones. Coarse shape is learned first.
DENOISER_PARTS = ((0.6, 1.0), (0.4, 0.5))
AUTOENCODER_RATE = 2e-3
WEIGHTS = "mini.safetensors"


@dataclass
class MiniSettings:
    """What a run is asked to do; ``loop`` holds the whole budget."""

    loop: LoopSettings
    clips: Path
    large: bool = False  # the sizes for an accelerator
    batch: int = 4
    start: Path | None = None  # weights to go on from, whose autoencoder is kept


def run(settings: MiniSettings, progress: Progress) -> tuple[Path, dict[str, float]]:
    """Run the schedule, from what its folder holds; returns the weights' path and figures on validation clips.

    Raises GeoError ``no_examples``, and what :func:`geo4d.training.loop.train` raises.
    """
    loop, folder = settings.loop, settings.loop.folder
    store = Store(settings.clips)
    store.require()
    config = LARGE if settings.large else MiniConfig()
    system = load(settings.start) if settings.start else Mini(config)
    left = 1.0
    # Once the denoiser has begun its state holds the autoencoder, which must not change any more.
    if not settings.start and not (folder / "denoiser" / STATE).exists():
        coder = Autoencoding(store, system.config, loop.device, batch=settings.batch)
        part = replace(_part(loop, AUTOENCODER_SHARE), folder=folder / "autoencoder", learning_rate=AUTOENCODER_RATE)
        state = train(coder, part, progress)
        system.autoencoder.load_state_dict(state.average.state_dict())
        whiten(system, store, loop.device)
        left -= AUTOENCODER_SHARE
    for share, small in DENOISER_PARTS:
        task = Denoising(store, system, loop.device, settings.batch, small)
        state = train(task, replace(_part(loop, left * share), folder=folder / "denoiser"), progress)
    found = figures(state.average, store, loop.device) if store.validation else {}
    weights = folder / WEIGHTS
    about = {"steps": str(state.step), "minutes": f"{state.seconds / 60:.1f}", "clips": str(len(store.train))}
    save(weights, state.average, about)
    return weights, found


def _part(loop: LoopSettings, share: float) -> LoopSettings:
    steps = None if loop.steps is None else round(loop.steps * share)
    return replace(loop, minutes=loop.minutes * share, steps=steps)
