"""How much memory a window takes, how it is cut up to fit, and what is tried next where it does not."""

from dataclasses import dataclass, replace

import torch

from ...errors import OutOfMemory
from ..device import size_text
from .checkpoint import layout
from .sizes import FUSION, SPATIAL, TEMPORAL, Sizes

_RESERVE = 0.9  # of the free memory
_MOST_FRAMES = 8
_BLOCK_MAPS = 16  # of a block's working set, in units of a frame's tokens in float32
_DENSE_MAPS = 3  # of a dense head's, in units of its features at picture size


@dataclass(frozen=True)
class Demand:
    """A window before it is cut up: frames, pixels, bytes of a number in the trunks."""

    sizes: Sizes
    frames: int
    width: int
    height: int
    itemsize: int
    temporal: bool = True

    @property
    def tokens(self) -> int:
        return self.height * self.width // self.sizes.patch**2 + 1 + self.sizes.registers

    def weight_bytes(self, streamed: bool) -> int:
        """Matrices of the trunks in their type and the rest in float32; streamed, the encoder and one block."""
        trunks = encoder = rest = 0
        for name, shape in layout(self.sizes).items():
            count = torch.Size(shape).numel()
            if ".patch_embed." in name:
                encoder += count * self.itemsize
            elif name.startswith((SPATIAL, TEMPORAL)):
                trunks += count * self.itemsize
            elif self.temporal or not name.startswith(FUSION):
                rest += count * 4
        return rest + (max(encoder, trunks // max(1, self.sizes.depth)) if streamed else encoder + trunks)

    def kept_bytes(self) -> int:
        """What grows with the window: token streams, keys and values, four layers, results."""
        both = self.temporal and self.sizes.window > 0
        numbers = self.frames * self.tokens * self.sizes.width
        streams = 4 * numbers * (2 if both else 1)
        keys = 4 * numbers * self.itemsize
        layers = (2 * 4 + 2) * numbers * self.itemsize * (2 if both else 1)
        maps = 4 * self.frames * self.width * self.height * (9 if self.sizes.point_head else 4)
        return streams + keys + layers + maps

    def working_bytes(self, at_once: int) -> int:
        block = 4 * _BLOCK_MAPS * self.tokens * self.sizes.width
        dense = 4 * _DENSE_MAPS * self.sizes.depth_head.features * self.width * self.height
        return at_once * max(block, dense)


@dataclass(frozen=True)
class Plan:
    """How a window is cut up. ``needed_bytes`` is the peak, weights included."""

    demand: Demand
    frames_at_once: int
    streamed: bool = False  # weights of the trunks stay in their file and come block by block

    @property
    def needed_bytes(self) -> int:
        d = self.demand
        return d.weight_bytes(self.streamed) + d.kept_bytes() + d.working_bytes(self.frames_at_once)

    def smaller(self) -> "Plan | None":
        """The next smaller way, None after the last."""
        if self.frames_at_once > 1:
            return replace(self, frames_at_once=(self.frames_at_once + 1) // 2)
        return None if self.streamed else replace(self, streamed=True)

    def __str__(self) -> str:
        way = "weights block by block" if self.streamed else "all weights in memory"
        return f"windows of {self.demand.frames}, {self.frames_at_once} frames at once, {way}; about " + size_text(
            self.needed_bytes
        )


def plan(demand: Demand, available: int, smallest: bool = False) -> Plan:
    """The fastest way that fits ``available`` bytes. Raises OutOfMemory where not even the smallest does."""
    chosen = Plan(demand, 1 if smallest else min(_MOST_FRAMES, demand.frames), smallest)
    while chosen.needed_bytes > _RESERVE * available:
        cut = chosen.smaller()
        if cut is None:
            raise too_little(demand, available)
        chosen = cut
    return chosen


def too_little(demand: Demand, available: int) -> OutOfMemory:
    needed = max(Plan(demand, 1, True).needed_bytes, available)
    return OutOfMemory(
        "out_of_memory",
        f"{demand.frames} frames of {demand.width} x {demand.height} need more than {size_text(needed)} in the "
        f"smallest way this model can run; {size_text(available)} are free.",
        "Use --low-memory, which makes windows shorter, close other programs, or use another device.",
    )
