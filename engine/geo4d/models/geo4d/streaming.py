"""Weights that stay in host memory or in their file, brought to the device a block at a time."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


class WeightStream:
    """Runs ``blocks`` on ``device`` in ``dtype`` while their weights stay as they are.

    Each block's weights are copied just before it computes and dropped right after, so that the device holds one
    block's at a time. A copy also changes the type: half-precision weights of a mapped file serve float32 arithmetic
    without a second copy of the whole network.
    """

    def __init__(self, blocks: list[nn.Module], device: torch.device, dtype: torch.dtype):
        self.device, self.dtype = device, dtype
        self._home: dict[nn.Module, list[tuple[nn.Module, str, nn.Parameter]]] = {}
        for block in blocks:
            block.register_forward_pre_hook(lambda block, _: self._bring(block))
            block.register_forward_hook(lambda block, _, __: self._leave(block), always_call=True)

    @contextlib.contextmanager
    def brought(self, block: nn.Module) -> Iterator[None]:
        """Context in which the weights of ``block`` are on the device, for what is not its forward pass."""
        self._bring(block)
        try:
            yield
        finally:
            self._leave(block)

    def _bring(self, block: nn.Module) -> None:
        home = self._home[block] = []
        for module in block.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    home.append((module, name, parameter))
                    here = parameter.detach().to(self.device, self.dtype, non_blocking=True)
                    module._parameters[name] = nn.Parameter(here, requires_grad=False)

    def _leave(self, block: nn.Module) -> None:
        for module, name, parameter in self._home.pop(block, ()):
            module._parameters[name] = parameter
