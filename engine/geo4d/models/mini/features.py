"""What the network sees of the pictures: features, and how well neighbouring frames match at each shift."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .autoencoder import Residual
from .config import NEIGHBOURS, RADIUS, MiniConfig

_MATCH_CHANNELS = 32
_SHIFTS = (2 * RADIUS + 1) ** 2


class Features(nn.Module):
    """Pictures (B, T, 3, H, W) in 0..1 to (B, T, width, H / 8, W / 8).

    The correlation of learned features with the frames before and after is what lets parallax, rather than the look of
    things, carry the depth.
    """

    def __init__(self, config: MiniConfig):
        super().__init__()
        fine, out = config.features, config.width
        self.first = nn.Conv2d(3 * 16, fine, 3, padding=1)
        self.trunk = nn.Sequential(Residual(fine), Residual(fine))
        self.match = nn.Conv2d(fine, _MATCH_CHANNELS, 1)
        self.seen = nn.Conv2d(fine, out, 3, stride=2, padding=1)
        self.shifts = nn.Conv2d(_SHIFTS * len(NEIGHBOURS), 2 * fine, 1)
        self.shifted = nn.Conv2d(2 * fine, out, 3, stride=2, padding=1)

    def forward(self, rgb: Tensor) -> Tensor:
        batch, frames = rgb.shape[:2]
        x = F.pixel_unshuffle(rgb.flatten(0, 1) * 2 - 1, 4)
        x = self.trunk(self.first(x))
        match = F.normalize(self.match(x), dim=1).unflatten(0, (batch, frames))
        near = torch.arange(frames, device=rgb.device)
        volumes = [correlation(match, match[:, (near + step).clamp(0, frames - 1)]) for step in NEIGHBOURS]
        matched = F.silu(self.shifts(torch.cat(volumes, dim=2).flatten(0, 1)))
        return (self.seen(F.silu(x)) + self.shifted(matched)).unflatten(0, (batch, frames))


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Products (B, T, (2 r + 1)^2, h, w) of ``a`` with ``b`` (B, T, C, h, w) at every shift up to RADIUS, scaled up."""
    height, width = a.shape[-2:]
    padded = F.pad(b.flatten(0, 1), [RADIUS] * 4).unflatten(0, b.shape[:2])
    side = range(2 * RADIUS + 1)
    products = [(a * padded[..., y : y + height, x : x + width]).sum(2) for y in side for x in side]
    return torch.stack(products, dim=2) * 4.0
