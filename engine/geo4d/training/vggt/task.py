"""The small twin as something to train (:mod:`geo4d.training.loop`)."""

import numpy as np
import torch
from torch import Tensor, nn

from ...models.vggt4d.sizes import Sizes
from ..window_clips import Store
from .batches import draw_grid, draw_view, rigid_flow, scene
from .loss import flow_loss, training_loss
from .network import SIZES, VERSION, config, fresh

FRAMES = ((2, 0.2), (3, 0.2), (4, 0.25), (6, 0.2), (8, 0.15))  # of a window, and how often
TURNED = 0.5  # share of the windows whose cameras are turned further
SPATIAL_ALONE = 0.3  # share of the steps without the temporal trunk, which cost half


class Learner(nn.Module):
    """The network, and what reads off its spatial tokens where the first frame saw the same; left out of the weights.

    Few cameras a step teach little; every patch has a displacement, which cameras follow from.
    """

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.network = fresh(sizes)
        self.displacement = nn.ModuleList(nn.Linear(2 * sizes.width, 2) for _ in sizes.taps)


class Twin:
    """Windows of ``store`` for a network of ``sizes``; one window a step.

    ``frames``: lengths of windows and how often each. Raises GeoError ``no_examples``.
    """

    name = "the small network of the VGGT family"
    version = VERSION

    def __init__(self, store: Store, sizes: Sizes = SIZES, frames: tuple[tuple[int, float], ...] = FRAMES):
        store.require()
        self.store, self.sizes, self.frames, self.config = store, sizes, frames, config(sizes)

    def network(self) -> Learner:
        return Learner(self.sizes)

    def loss(self, network: Learner, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        lengths, shares = zip(*self.frames, strict=True)
        window = self.store.batch(rng, 1, int(rng.choice(lengths, p=shares)))
        view = draw_view(rng, window) if rng.random() < TURNED else None
        truth = scene(window, draw_grid(rng, window), self.sizes.patch, view=view)
        device = next(network.parameters()).device
        for name, value in vars(truth).items():
            if isinstance(value, Tensor):
                setattr(truth, name, value.to(device))
        temporal = bool(rng.random() >= SPATIAL_ALONE)
        out = network.network(truth.images, len(truth.images), temporal, dtype=torch.float32, keep_layers=not temporal)
        loss, parts = training_loss(out, truth)
        if out.layers is None:
            return loss, parts
        true = rigid_flow(truth, self.sizes.patch)
        patches = [layer[:, network.network.specials :] for layer in out.layers]
        flow = flow_loss([read(x) for read, x in zip(network.displacement, patches, strict=True)], *true)
        return loss + flow, parts | {"flow": float(flow.detach())}

    def refresh(self) -> None:
        self.store.refresh()
