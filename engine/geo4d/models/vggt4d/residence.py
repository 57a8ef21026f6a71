"""Where weights are while the network runs: on the device, or in their file with one block brought at a time."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from .block import Linear
from .network import Network


def place(network: Network, device: torch.device, dtype: torch.dtype, streamed: bool) -> None:
    """Ready ``network`` for ``device``: matrices of the trunks as ``dtype``, everything else float32.

    ``streamed`` leaves encoder and blocks where they are and brings each just before it computes.
    """
    large = {id(parameter) for module in _matrices(network) for parameter in module.parameters()}
    homes = [block for trunk in network.trunks for block in _brought(trunk)] if streamed else []
    stay = {id(parameter) for block in homes for parameter in block.parameters()}
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) not in stay:
                here = parameter.detach().to(device, dtype if id(parameter) in large else torch.float32)
                module._parameters[name] = nn.Parameter(here, requires_grad=False)

    @contextlib.contextmanager
    def bring(block: nn.Module) -> Iterator[None]:
        home = [(m, n, p) for m in block.modules() for n, p in m._parameters.items() if p is not None]
        for module, name, parameter in home:
            here = parameter.detach().to(device, dtype if id(parameter) in large else torch.float32, non_blocking=True)
            module._parameters[name] = nn.Parameter(here, requires_grad=False)
        try:
            yield
        finally:
            for module, name, parameter in home:
                module._parameters[name] = parameter

    for trunk in network.trunks:
        trunk.bring = bring if streamed else (lambda block: contextlib.nullcontext())


def _matrices(network: Network) -> list[nn.Module]:
    return [module for trunk in network.trunks for module in trunk.modules() if isinstance(module, Linear)]


def _brought(trunk: nn.Module) -> list[nn.Module]:
    """What a trunk brings as one piece."""
    encoder = [trunk.patch_embed] if hasattr(trunk, "patch_embed") else []
    return [*encoder, *trunk.frame_blocks, *getattr(trunk, trunk.second)]
