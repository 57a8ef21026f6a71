"""How much memory a run will take, how it is cut up to fit, and what is tried next where it does not."""

import functools
from dataclasses import dataclass, replace

import torch
from torch import nn

from ...errors import OutOfMemory
from ..device import size_text
from .config import FRAMES, LATENT_STRIDE
from .layout import Sizes
from .unet import UNet
from .vae import VAE

# Feature maps alive at the widest place, in units of the level's channels: the decoder's last upsampling with its
# norm, activation and convolution workspace; the network's first level with its gated feed-forward and skips.
_DECODER_MAPS = 8
_NETWORK_MAPS = 40
_RESERVE = 0.9  # of the free memory
_MOST_WINDOWS = 4  # more at once do not make an accelerator faster


@dataclass(frozen=True)
class Demand:
    """What a run asks for, before it is cut up: sizes in pixels, bytes a number."""

    sizes: Sizes
    width: int
    height: int
    itemsize: int
    guided: bool = False

    def weight_bytes(self, streamed: bool) -> int:
        """Of all networks; streamed, of the autoencoders and two of the network's largest blocks."""
        coding, blocks = _weight_numbers(self.sizes)
        return (coding + (2 * max(blocks) if streamed else sum(blocks))) * self.itemsize

    def network_bytes(self, windows: int) -> int:
        cells = self.height * self.width // LATENT_STRIDE**2
        return _NETWORK_MAPS * self.sizes.unet.model_channels * cells * FRAMES * windows * self.itemsize

    def coding_bytes(self, frames: int) -> int:
        return _DECODER_MAPS * self.sizes.vae.ch * self.height * self.width * frames * self.itemsize


@dataclass(frozen=True)
class Plan:
    """How a run is cut up. ``needed_bytes`` is the peak, weights included."""

    demand: Demand
    windows_at_once: int
    frames_at_once: int
    guidance_apart: bool = False  # prompt and empty prompt one after the other
    streamed: bool = False  # the network's weights stay where they are and come block by block

    @property
    def needed_bytes(self) -> int:
        rows = self.windows_at_once * (2 if self.demand.guided and not self.guidance_apart else 1)
        work = max(self.demand.network_bytes(rows), self.demand.coding_bytes(self.frames_at_once))
        return self.demand.weight_bytes(self.streamed) + work

    def smaller_network(self) -> "Plan | None":
        """The next smaller way to denoise, None after the last."""
        if self.windows_at_once > 1:
            return replace(self, windows_at_once=(self.windows_at_once + 1) // 2)
        if self.demand.guided and not self.guidance_apart:
            return replace(self, guidance_apart=True)
        return None if self.streamed else replace(self, streamed=True)

    def smaller_coding(self) -> "Plan | None":
        """The next smaller way to encode and decode, None after the last."""
        if self.frames_at_once > 1:
            return replace(self, frames_at_once=(self.frames_at_once + 1) // 2)
        return None if self.streamed else replace(self, streamed=True)

    def __str__(self) -> str:
        way = "weights block by block" if self.streamed else "all weights in memory"
        parts = f"{self.windows_at_once} windows and {self.frames_at_once} frames at once, {way}"
        return f"{parts}; about {size_text(self.needed_bytes)}"


@functools.cache
def _weight_numbers(sizes: Sizes) -> tuple[int, list[int]]:
    """Numbers in both autoencoders, and in each block of the network that comes by itself when weights are streamed."""
    with torch.device("meta"):
        parts = [VAE(sizes.vae, ("encoder", "decoder")), VAE(sizes.vae, ("decoder", "decoder_adaptor"))]
        blocks = UNet(sizes.unet).blocks()
    coding, *blocks = (sum(p.numel() for p in m.parameters()) for m in (nn.ModuleList(parts), *blocks))
    return coding, blocks


def plan(demand: Demand, available: int, accelerator: bool = False, streamed: bool = False) -> Plan:
    """The fastest way that fits ``available`` bytes; ``streamed`` asks for the smallest from the start.

    Raises OutOfMemory with the number that would be needed where not even the smallest fits.
    """
    chosen = Plan(demand, _MOST_WINDOWS if accelerator and not streamed else 1, FRAMES, streamed, streamed)
    while chosen.needed_bytes > _RESERVE * available:
        network = chosen.demand.network_bytes(chosen.windows_at_once)
        coding_is_larger = demand.coding_bytes(chosen.frames_at_once) > network
        smaller = chosen.smaller_coding() if coding_is_larger else chosen.smaller_network()
        if smaller is None:
            raise too_little(demand, available)
        chosen = smaller
    return chosen


def too_little(demand: Demand, available: int, tried: bool = False) -> OutOfMemory:
    """The error where not even the smallest way fits; ``tried`` where it looked as if it would."""
    needed = Plan(demand, 1, 1, True, True).needed_bytes
    amount = f"more than {size_text(max(needed, available))}" if tried else size_text(needed)
    return OutOfMemory(
        "out_of_memory",
        f"Geo4D at {demand.width} x {demand.height} needs {amount} in the smallest way it can run; "
        f"{size_text(available)} are free.",
        "Close other programs, or use another device.",
    )
