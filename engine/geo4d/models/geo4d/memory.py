"""How much memory a run will take, and how it is cut up to fit."""

import os
from dataclasses import dataclass

import torch

from ...errors import OutOfMemory
from .config import LATENT_STRIDE, UNetConfig, VAEConfig

# Feature maps alive at the widest place, in units of the level's channels: the decoder's last upsampling with its
# norm, activation and convolution workspace; the network's first level with its gated feed-forward and skips.
_DECODER_MAPS = 8
_NETWORK_MAPS = 40
_RESERVE = 0.9  # of the free memory


@dataclass(frozen=True)
class Plan:
    """How many frames are coded at once, and what that needs in bytes beside the weights."""

    frames_at_once: int
    needed_bytes: int


def decoder_bytes(config: VAEConfig, height: int, width: int, frames: int, itemsize: int) -> int:
    return _DECODER_MAPS * config.ch * height * width * frames * itemsize


def network_bytes(config: UNetConfig, height: int, width: int, frames: int, itemsize: int) -> int:
    cells = height * width // LATENT_STRIDE**2
    return _NETWORK_MAPS * config.model_channels * cells * frames * itemsize


def free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # no such figure on this system
        return 8 << 30


def plan(unet: UNetConfig, vae: VAEConfig, height: int, width: int, frames: int, itemsize: int, available: int) -> Plan:
    """The largest number of frames at once that fits ``available`` bytes.

    Raises OutOfMemory with the number that would be needed where not even one frame at a time fits.
    """
    least = network_bytes(unet, height, width, frames, itemsize)
    batch = frames
    while True:
        needed = max(least, decoder_bytes(vae, height, width, batch, itemsize))
        if needed <= _RESERVE * available:
            return Plan(batch, needed)
        if batch == 1:
            raise too_little(needed, available, width, height)
        batch = (batch + 1) // 2


def too_little(needed: int, available: int, width: int, height: int) -> OutOfMemory:
    return OutOfMemory(
        "out_of_memory",
        f"Geo4D at {width} x {height} needs {needed / 2**30:.1f} GiB beside its weights; "
        f"{available / 2**30:.1f} GiB are free.",
        "Choose a smaller working size, close other programs, or use another device.",
    )
