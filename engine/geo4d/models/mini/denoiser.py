"""The denoiser: a transformer over the cells of a window, attention in space and in time by turns."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import LATENT_CHANNELS, MiniConfig
from .features import Features

EXTRA = 2  # outputs beside the latents: log of the error to expect of a cell's points, logit of motion
_WAVES = 6  # per coordinate of a place


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention among the cells of a frame, then of a cell among the frames, then a perceptron.

    Each is shifted, scaled and gated by the time of diffusion (adaptive norm); the modulation is shared by all blocks
    up to an offset of each block's own.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.offset = nn.Parameter(torch.randn(9, width) / math.sqrt(width))
        self.offset.data[2::3] += 1.0  # gates begin open
        self.space, self.time = Attention(width, heads), Attention(width, heads)
        self.perceptron = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU("tanh"), nn.Linear(3 * width, width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """``x`` (B, T, N, d), ``modulation`` (B, 9, d)."""
        frames, cells = x.shape[1:3]
        m = (modulation + self.offset)[:, :, None, None].unbind(1)

        def within(y: Tensor, k: int) -> Tensor:
            return F.layer_norm(y, y.shape[-1:]) * (1 + m[k]) + m[k + 1]

        x = x + m[2] * self.space(within(x, 0).flatten(0, 1)).unflatten(0, (-1, frames))
        y = within(x, 3).transpose(1, 2).flatten(0, 1)
        x = x + m[5] * self.time(y).unflatten(0, (-1, cells)).transpose(1, 2)
        return x + m[8] * self.perceptron(within(x, 6))


class Denoiser(nn.Module):
    """Noisy latents (B, T, 18, h, w) and pictures to clean latents and :data:`EXTRA` maps (B, T, 2, h, w)."""

    def __init__(self, config: MiniConfig):
        super().__init__()
        width = config.width
        self.features = Features(config)
        self.enter = nn.Conv2d(LATENT_CHANNELS, width, 1)
        self.place = nn.Linear(3 * 2 * _WAVES + 2, width)
        self.time = nn.Sequential(nn.Linear(2 * _WAVES, width), nn.SiLU(), nn.Linear(width, 9 * width))
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, LATENT_CHANNELS + EXTRA)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, noisy: Tensor, seen: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """``seen`` is what :attr:`features` makes of the pictures; ``time`` (B,), 1 = nothing but noise."""
        frames, _, height, width = noisy.shape[1:]
        x = self.enter(noisy.flatten(0, 1)).unflatten(0, noisy.shape[:2]) + seen
        x = x.permute(0, 1, 3, 4, 2) + self.place(places(frames, height, width, noisy))
        x = x.flatten(2, 3)
        modulation = self.time(waves(time.to(x.dtype))).unflatten(-1, (9, -1))
        for block in self.blocks:
            x = block(x, modulation)
        out = self.leave(self.norm(x)).unflatten(2, (height, width)).permute(0, 1, 4, 2, 3)
        return out.split((LATENT_CHANNELS, EXTRA), dim=2)


def waves(x: Tensor) -> Tensor:
    """(..., 2 * _WAVES) sines and cosines of ``x`` (about -1..1) at octaves."""
    angle = x[..., None] * (math.pi / 2 * 2.0 ** torch.arange(_WAVES, device=x.device, dtype=x.dtype))
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def places(frames: int, height: int, width: int, like: Tensor) -> Tensor:
    """(T, h, w, features) of where each cell is: from the picture's middle in units of its longer half, and when."""
    longer = max(height, width) / 2
    t = torch.arange(frames, device=like.device, dtype=like.dtype) / 8
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5 - height / 2) / longer
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5 - width / 2) / longer
    t, y, x = torch.meshgrid(t, y, x, indexing="ij")
    return torch.cat([waves(t), waves(y), waves(x), x[..., None], y[..., None]], dim=-1)
