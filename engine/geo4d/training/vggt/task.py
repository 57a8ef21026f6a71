"""The small twin as something to train (:mod:`geo4d.training.loop`)."""

import numpy as np
import torch
from torch import Tensor

from ...errors import GeoError
from ...models.vggt4d.network import Network, Output
from ...models.vggt4d.sizes import Sizes
from ..window_clips import Store
from .batches import draw_grid, scene
from .loss import training_loss
from .network import SIZES, VERSION, config, fresh

FRAMES = ((3, 0.2), (4, 0.25), (6, 0.3), (8, 0.25))  # of a window, and how often


class Twin:
    """Windows of ``store`` for a network of ``sizes``; one window a step.

    ``frames``: lengths of windows and how often each. Raises GeoError ``no_examples``.
    """

    name = "the small network of the VGGT family"
    version = VERSION

    def __init__(self, store: Store, sizes: Sizes = SIZES, frames: tuple[tuple[int, float], ...] = FRAMES):
        if not store.train:
            raise GeoError(
                "no_examples", f"There are no training clips in {store.folder}.", "Ask for some with --clips N."
            )
        self.store, self.sizes, self.frames, self.config = store, sizes, frames, config(sizes)

    def network(self) -> Network:
        return fresh(self.sizes)

    def loss(self, network: Network, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        lengths, shares = zip(*self.frames, strict=True)
        count = int(rng.choice(lengths, p=shares))
        window = self.store.batch(rng, 1, count)
        truth = scene(window, draw_grid(rng), self.sizes.patch)
        device = next(network.parameters()).device
        for name, value in vars(truth).items():
            if isinstance(value, Tensor):
                setattr(truth, name, value.to(device))
        return training_loss(run(network, truth.images), truth)

    def refresh(self) -> None:
        self.store.refresh()


def run(network: Network, images: Tensor) -> Output:
    """All frames at once."""
    return network(images, len(images), dtype=torch.float32)
