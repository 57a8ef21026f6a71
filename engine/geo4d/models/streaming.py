"""Weights that stay in host memory or in their file and come to the device a block at a time."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn

Home = list[tuple[nn.Module, str, nn.Parameter]]


def bring(block: nn.Module, device: torch.device, dtype: Callable[[nn.Parameter], torch.dtype]) -> Home:
    """Give ``block`` copies of its weights on ``device``, each in the ``dtype`` asked for; returns the weights.

    A copy also changes the type: half-precision weights of a mapped file serve float32 arithmetic without a second
    copy of the whole network.
    """
    home = [(module, name, p) for module in block.modules() for name, p in module._parameters.items() if p is not None]
    for module, name, parameter in home:
        here = parameter.detach().to(device, dtype(parameter), non_blocking=True)
        module._parameters[name] = nn.Parameter(here, requires_grad=False)
    return home


def put_back(home: Home) -> None:
    """Let go of the copies."""
    for module, name, parameter in home:
        module._parameters[name] = parameter


@contextlib.contextmanager
def brought(block: nn.Module, device: torch.device, dtype: Callable[[nn.Parameter], torch.dtype]) -> Iterator[None]:
    """Context in which the weights of ``block`` are on ``device``."""
    home = bring(block, device, dtype)
    try:
        yield
    finally:
        put_back(home)
