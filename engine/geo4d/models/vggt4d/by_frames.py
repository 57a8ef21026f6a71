"""Work on some frames at a time, written back into the tensor it came from, so that memory does not double."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def spans(count: int, at_once: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, at_once):
        yield start, min(count, start + at_once)


def update(x: Tensor, at_once: int, function: Callable[[int, int], Tensor]) -> Tensor:
    """``x`` (S, ...) with rows a..b replaced by ``function(a, b)``, span after span; in place unless gradients flow."""
    if torch.is_grad_enabled():
        return torch.cat([function(a, b) for a, b in spans(len(x), at_once)])
    for a, b in spans(len(x), at_once):
        x[a:b] = function(a, b)
    return x
