"""Autoencoder of coded point maps and disparity: one trunk, a first and a last layer for each kind, no KL term.

Ray maps are smooth enough to need none: their latent is the map itself at the latent's resolution.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from .config import DISPARITY_CHANNELS, POINT_CHANNELS, MiniConfig

KINDS = {"points": (3, POINT_CHANNELS), "disparity": (1, DISPARITY_CHANNELS)}  # channels of map and latent
_FOLD = 4  # pixels to a side that become channels at once


class Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))


class Autoencoder(nn.Module):
    """Maps (N, C, H, W) to latents (N, c, H / 8, W / 8) and back."""

    def __init__(self, config: MiniConfig):
        super().__init__()
        fine, coarse = config.coder, config.coder * 3 // 2
        self.first = nn.ModuleDict({k: nn.Conv2d(c * _FOLD**2, fine, 3, padding=1) for k, (c, _) in KINDS.items()})
        self.encoder = nn.Sequential(
            Residual(fine), nn.Conv2d(fine, coarse, 3, stride=2, padding=1), Residual(coarse), Residual(coarse)
        )
        self.to_latent = nn.ModuleDict({k: nn.Conv2d(coarse, c, 1) for k, (_, c) in KINDS.items()})
        self.from_latent = nn.ModuleDict({k: nn.Conv2d(c, coarse, 3, padding=1) for k, (_, c) in KINDS.items()})
        self.decoder = nn.Sequential(
            Residual(coarse), Residual(coarse), nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2), Residual(fine)
        )
        self.last = nn.ModuleDict({k: nn.Conv2d(fine, c * _FOLD**2, 3, padding=1) for k, (c, _) in KINDS.items()})

    def encode(self, kind: str, maps: Tensor) -> Tensor:
        return self.to_latent[kind](self.encoder(self.first[kind](F.pixel_unshuffle(maps, _FOLD))))

    def decode(self, kind: str, latent: Tensor) -> Tensor:
        return F.pixel_shuffle(self.last[kind](self.decoder(self.from_latent[kind](latent))), _FOLD)
