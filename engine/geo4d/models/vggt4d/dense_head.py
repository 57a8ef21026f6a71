"""The dense prediction head: four layers' patch tokens to one map a frame, in float32; frames are independent."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..winograd import Conv3x3
from .block import LayerNorm
from .sizes import DenseHead as Widths

_POSITION = 0.1  # share of the position code
_BASE = 100.0


class ResidualUnit(nn.Module):
    """Two convolutions beside a connection that carries relu(x), not x.

    The released activation works in place, so what skips the convolutions has gone through it: weights were trained
    that way.
    """

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = Conv3x3(width, width)
        self.conv2 = Conv3x3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        return x + self.conv2(self.conv1(x).relu_())


class Refinement(nn.Module):
    """Joins what came from the coarser levels with one level, and enlarges it."""

    def __init__(self, width: int, coarsest: bool):
        super().__init__()
        self.resConfUnit1 = None if coarsest else ResidualUnit(width)
        self.resConfUnit2 = ResidualUnit(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(self, coarser: Tensor | None, level: Tensor, size: tuple[int, int]) -> Tensor:
        x = level if coarser is None else coarser + self.resConfUnit1(level)
        # Enlarging mixes pixels and the convolution channels, so that their order is free: the smaller picture first.
        return _enlarge(self.out_conv(self.resConfUnit2(x)), size)


class Scratch(nn.Module):
    def __init__(self, sizes: Widths):
        super().__init__()
        width, half = sizes.features, sizes.features // 2
        for number, channels in enumerate(sizes.channels, 1):
            setattr(self, f"layer{number}_rn", Conv3x3(channels, width, bias=False))
            setattr(self, f"refinenet{number}", Refinement(width, coarsest=number == 4))
        self.output_conv1 = Conv3x3(width, half)
        self.output_conv2 = nn.Sequential(
            nn.Conv2d(half, sizes.hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(sizes.hidden, sizes.outputs, 1)
        )


class DenseHead(nn.Module):
    """Patch tokens (F, N, 2C) of four layers to raw maps (F, 2 or 4, H, W)."""

    def __init__(self, width: int, sizes: Widths, patch: int):
        super().__init__()
        self.patch = patch
        self.norm = LayerNorm(width)
        self.projects = nn.ModuleList(nn.Conv2d(width, channels, 1) for channels in sizes.channels)
        a, b, _, d = sizes.channels
        self.resize_layers = nn.ModuleList(
            (
                nn.ConvTranspose2d(a, a, 4, 4),
                nn.ConvTranspose2d(b, b, 2, 2),
                nn.Identity(),
                nn.Conv2d(d, d, 3, 2, padding=1),
            )
        )
        self.scratch = Scratch(sizes)

    def forward(self, layers: list[Tensor], grid: tuple[int, int]) -> Tensor:
        rows, columns = grid
        height, width = rows * self.patch, columns * self.patch
        ratio = width / height
        levels = []
        for k, tokens in enumerate(layers):
            x = self.norm(tokens).transpose(1, 2).unflatten(2, grid)
            x = _placed(self.projects[k](x), ratio)
            x = self.resize_layers[k](x)
            levels.append(getattr(self.scratch, f"layer{k + 1}_rn")(x))
        x = None
        for k in (3, 2, 1, 0):
            level = levels.pop()
            h, w = levels[-1].shape[-2:] if levels else (2 * level.shape[-2], 2 * level.shape[-1])
            x = getattr(self.scratch, f"refinenet{k + 1}")(x, level, (h, w))
        x = self.scratch.output_conv1(x)
        return self.scratch.output_conv2(_placed(_enlarge(x, (height, width)), ratio))


def depth(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Raw maps (F, 2, H, W) to depth and confidence (F, H, W)."""
    return raw[:, 0].exp(), confidence(raw[:, 1])


def points(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Raw maps (F, 4, H, W) to points (F, H, W, 3) and confidence (F, H, W)."""
    xyz = raw[:, :3].permute(0, 2, 3, 1)
    return xyz.sign() * xyz.abs().expm1(), confidence(raw[:, 3])


def confidence(raw: Tensor) -> Tensor:
    return 1 + raw.exp()


def _enlarge(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def _placed(x: Tensor, ratio: float) -> Tensor:
    code = position_code(x.shape[1], x.shape[2], x.shape[3], ratio, x.device)
    return x + _POSITION * code


@functools.lru_cache(maxsize=16)
def position_code(channels: int, height: int, width: int, ratio: float, device: torch.device) -> Tensor:
    """(channels, height, width): sines and cosines of x, then of y, of a picture of ``ratio`` = width / height.

    Coordinates are those of cell centres in a frame whose half diagonal is 1.
    """
    diagonal = (ratio**2 + 1) ** 0.5
    frequencies = _BASE ** (-torch.arange(channels // 4, dtype=torch.float64) / (channels / 4))

    def waves(extent: float, count: int) -> Tensor:
        last = extent * (count - 1) / count
        angles = torch.linspace(-last, last, count, dtype=torch.float64)[:, None] * frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=1).float()  # (count, channels / 2)

    x = waves(ratio / diagonal, width).T[:, None].expand(-1, height, -1)
    y = waves(1 / diagonal, height).T[:, :, None].expand(-1, -1, width)
    return torch.cat((x, y)).to(device)
