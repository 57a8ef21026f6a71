"""First part: the autoencoder of point maps and disparity."""

from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from ...models.mini import modalities
from ...models.mini.config import VERSION, MiniConfig
from ...models.mini.modalities import Maps
from ...models.mini.system import Mini
from ..window_clips import Store, Windows

SKY_WEIGHT = 0.3
CROP = (96, 64)  # pixels (w, h): convolutions need no more


def true_maps(windows: Windows) -> Maps:
    return modalities.code(windows.points(), windows.depth, windows.rays(), windows.c2w, windows.sky)


class Autoencoding:
    """A :class:`~geo4d.training.loop.Task`: maps through the bottleneck and back, without noise or KL term."""

    name = "mini's autoencoder"
    version = VERSION

    def __init__(self, store: Store, config: MiniConfig, device: str, start: Mini | None = None, batch: int = 4):
        self.store, self.device, self.start, self.batch = store, device, start, batch
        self.config, self._config = asdict(config), config

    def network(self) -> nn.Module:
        return self.start.autoencoder if self.start else Mini(self._config).autoencoder

    def refresh(self) -> None:
        self.store.refresh()

    def loss(self, network: nn.Module, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        windows = self.store.batch(rng, 2 * self.batch, 1, CROP).to(self.device)
        maps = true_maps(windows)
        weight = torch.where(windows.sky, SKY_WEIGHT, 1.0)[:, :, None].flatten(0, 1)
        parts, total = {}, 0.0
        for kind in ("points", "disparity"):
            true = getattr(maps, kind).flatten(0, 1)
            found = network.decode(kind, network.encode(kind, true))
            miss = found - true
            along = sum(miss.diff(dim=d).abs().mean() for d in (2, 3))  # edges where they belong
            value = (miss.abs() * weight).mean() + along
            parts[kind] = float(value.detach())
            total = total + value
        return total, parts
