"""What the network sees of the pictures: learned features, and where things went in the neighbouring frames."""

import torch.nn.functional as F
from torch import Tensor, nn

from .autoencoder import Residual
from .config import MiniConfig
from .motion import CELL, CHANNELS, motion_fields


class Features(nn.Module):
    """Pictures (B, T, 3, H, W) in 0..1 to (B, T, width, H / 8, W / 8)."""

    def __init__(self, config: MiniConfig):
        super().__init__()
        fine, out = config.features, config.width
        self.first = nn.Conv2d(3 * CELL**2, fine, 3, padding=1)
        self.trunk = nn.Sequential(Residual(fine), Residual(fine))
        self.seen = nn.Conv2d(fine, out, 3, stride=2, padding=1)
        self.shifts = nn.Conv2d(CHANNELS, 2 * fine, 3, padding=1)
        self.shifted = nn.Conv2d(2 * fine, out, 3, stride=2, padding=1)
        # As strong as where a cell lies; with less, the average layout of a scene is all that is learned for long.
        for layer in (self.first, self.seen, self.shifts, self.shifted):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, rgb: Tensor) -> Tensor:
        shape = rgb.shape[:2]
        moved = F.silu(self.shifts(motion_fields(rgb).flatten(0, 1)))
        x = self.trunk(self.first(F.pixel_unshuffle(rgb.flatten(0, 1) * 2 - 1, CELL)))
        return (self.seen(F.silu(x)) + self.shifted(moved)).unflatten(0, shape)
