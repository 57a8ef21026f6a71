"""Where weights are while the network runs: on the device, or in their file with one block brought at a time."""

import contextlib

import torch
from torch import nn

from ..streaming import brought
from .block import Linear
from .network import Network


def place(network: Network, device: torch.device, dtype: torch.dtype, streamed: bool) -> None:
    """Ready ``network`` for ``device``: matrices of the trunks as ``dtype``, everything else float32.

    ``streamed`` leaves encoder and blocks where they are and brings each just before it computes.
    """
    large = {id(parameter) for module in _matrices(network) for parameter in module.parameters()}

    def kind(parameter: nn.Parameter) -> torch.dtype:
        return dtype if id(parameter) in large else torch.float32

    homes = [block for trunk in network.trunks for block in _brought(trunk)] if streamed else []
    stay = {id(parameter) for block in homes for parameter in block.parameters()}
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) not in stay:
                here = parameter.detach().to(device, kind(parameter))
                module._parameters[name] = nn.Parameter(here, requires_grad=False)

    for trunk in network.trunks:
        trunk.bring = (lambda b: brought(b, device, kind)) if streamed else (lambda _: contextlib.nullcontext())


def _matrices(network: Network) -> list[nn.Module]:
    return [module for trunk in network.trunks for module in trunk.modules() if isinstance(module, Linear)]


def _brought(trunk: nn.Module) -> list[nn.Module]:
    """What a trunk brings as one piece."""
    encoder = [trunk.patch_embed] if hasattr(trunk, "patch_embed") else []
    return [*encoder, *trunk.frame_blocks, *getattr(trunk, trunk.second)]
