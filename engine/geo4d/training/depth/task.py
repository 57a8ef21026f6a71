"""The depth network as something to train."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from ...errors import GeoError
from .batches import Pool
from .export import read_onnx
from .loss import training_loss
from .network import VERSION, DepthNetwork, NetworkConfig


class DepthTraining:
    """A :class:`~geo4d.training.loop.Task` on the examples of a folder, from fresh weights or those of ``start``.

    Raises GeoError ``no_examples`` where there is nothing to learn from.
    """

    name = "the depth network"
    version = VERSION

    def __init__(self, examples: Path, device: str, config: NetworkConfig | None = None, start: Path | None = None):
        self.pool, self.device, self._start = Pool(examples), device, start
        self._config = read_onnx(start).config if start else config or NetworkConfig()
        self.config = asdict(self._config)
        self.refresh()
        if not self.pool.clips:
            raise GeoError(
                "no_examples", f"There are no training examples in {examples}.", "Ask for some with --clips N."
            )

    def network(self) -> nn.Module:
        return read_onnx(self._start) if self._start else DepthNetwork(self._config)

    def refresh(self) -> None:
        self.pool.refresh()

    def loss(self, network: nn.Module, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        batch = {name: value.to(self.device) for name, value in self.pool.batch(rng).items()}
        return training_loss(network(batch["maps"], batch["sweep"]), batch)
