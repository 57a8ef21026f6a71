"""A network whose blocks bring their weights to the device themselves."""

from contextlib import AbstractContextManager

import torch
from torch import nn

from .. import streaming


class WeightStream:
    """Runs ``blocks`` on ``device`` in ``dtype`` while their weights stay as they are.

    Each block's weights are copied just before it computes and dropped right after, so that the device holds one
    block's at a time.
    """

    def __init__(self, blocks: list[nn.Module], device: torch.device, dtype: torch.dtype):
        self.device, self.dtype = device, dtype
        self._home: dict[nn.Module, streaming.Home] = {}
        for block in blocks:
            block.register_forward_pre_hook(lambda block, _: self._bring(block))
            block.register_forward_hook(lambda block, _, __: self._leave(block), always_call=True)

    def brought(self, block: nn.Module) -> AbstractContextManager[None]:
        """Context in which the weights of ``block`` are on the device, for what is not its forward pass."""
        return streaming.brought(block, self.device, lambda _: self.dtype)

    def _bring(self, block: nn.Module) -> None:
        self._home[block] = streaming.bring(block, self.device, lambda _: self.dtype)

    def _leave(self, block: nn.Module) -> None:
        streaming.put_back(self._home.pop(block, []))
