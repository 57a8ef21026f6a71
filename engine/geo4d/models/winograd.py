"""3x3 convolutions with a quarter of the multiplications, for CPUs, whose convolutions are bound by arithmetic.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308: outputs in tiles of 4 x 4
from inputs of 6 x 6, F(4x4, 3x3). The interpolation points 0, +-3/4, +-3/2 and infinity keep rounding at about twice
that of the plain convolution; the paper's own 0, +-1, +-2 are five times worse.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TILE, _KERNEL = 4, 3
_PATCH = _TILE + _KERNEL - 1
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
_CHUNK_BYTES = 12 << 20  # of transformed input: what stays in the processor's cache
_LEAST_CHANNELS = 64  # below, the transforms cost more than they save
_LEAST_TILES = 64
_MOST_WASTE = 1.3  # of outputs computed to those wanted


def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Transforms of output (16, 36), kernel (36, 9) and input (36, 36), both axes in one, float32."""
    size = _PATCH - 1
    output, kernel, patch = np.zeros((_TILE, _PATCH)), np.zeros((_PATCH, _KERNEL)), np.zeros((_PATCH, _PATCH))
    for j, point in enumerate(_POINTS):
        others = [p for p in _POINTS if p != point]
        output[:, j] = point ** np.arange(_TILE)
        kernel[j] = point ** np.arange(_KERNEL) / np.prod([point - p for p in others])
        patch[j, :size] = np.poly(others)[::-1]
    output[-1, -1] = kernel[-1, -1] = 1.0  # the point at infinity
    patch[-1] = np.poly(_POINTS)[::-1]
    return tuple(torch.from_numpy(np.kron(m, m)).float() for m in (output, kernel, patch))


_OUTPUT, _WEIGHT, _INPUT = _matrices()


def pays(x: Tensor, out_channels: int) -> bool:
    """Whether :func:`conv3x3` is faster than the plain convolution for ``x`` (N, C, H, W)."""
    n, channels, height, width = x.shape
    tiles = n * -(-height // _TILE) * -(-width // _TILE)
    waste = tiles * _TILE**2 / (n * height * width)
    return min(channels, out_channels) >= _LEAST_CHANNELS and tiles >= _LEAST_TILES and waste <= _MOST_WASTE


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.conv2d(x, weight, bias, padding=1)`` for float32 on a CPU; the result has its channels last in memory."""
    n, channels, height, width = x.shape
    out_channels = weight.shape[0]
    kernels = (_WEIGHT @ weight.permute(2, 3, 1, 0).reshape(_KERNEL**2, -1)).view(-1, channels, out_channels)
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    padded_width = columns * _TILE + 2
    pixels = x.permute(0, 2, 3, 1)
    out = x.new_empty(n, rows * _TILE, columns * _TILE, out_channels)
    # Rows of tiles, of one picture or of several whole ones, at a time.
    at_once = max(1, _CHUNK_BYTES // (_PATCH**2 * x.element_size() * columns * max(channels, out_channels)))
    pictures, step = max(1, min(n, at_once // rows)), min(rows, at_once)
    for i in range(0, n, pictures):
        some = pixels[i : i + pictures]
        for row in range(0, rows, step):
            k = min(step, rows - row)
            top, bottom = row * _TILE - 1, (row + k) * _TILE + 1
            inside = some[:, max(top, 0) : min(bottom, height)]
            below = bottom - top - inside.shape[1] - (top < 0)
            right = padded_width - 1 - width
            band = F.pad(inside, (0, 0, 1, right, int(top < 0), below)).contiguous()
            strides = (padded_width * channels, channels)
            patches = band.as_strided(
                (_PATCH, _PATCH, len(some), k, columns, channels),
                (*strides, band.stride(0), _TILE * strides[0], _TILE * channels, 1),
            )
            transformed = (_INPUT @ patches.reshape(_PATCH**2, -1)).view(_PATCH**2, -1, channels)
            product = torch.bmm(transformed, kernels).view(_PATCH**2, -1)
            tiles = (_OUTPUT @ product).view(_TILE, _TILE, len(some), k, columns, out_channels)
            target = out[i : i + pictures, row * _TILE : (row + k) * _TILE]
            target = target.view(len(some), k, _TILE, columns, _TILE, out_channels)
            tiles = tiles.permute(2, 3, 0, 4, 1, 5)
            target.copy_(tiles) if bias is None else torch.add(tiles, bias, out=target)
    return out[:, :height, :width].permute(0, 3, 1, 2)


class Conv3x3(nn.Conv2d):
    """``nn.Conv2d`` of three by three, padded to keep the size, that takes the faster way where there is one."""

    def __init__(self, channels: int, out_channels: int, bias: bool = True):
        super().__init__(channels, out_channels, _KERNEL, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        # The faster way writes into place, which gradients cannot follow.
        if x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled():
            if pays(x, self.out_channels):
                return conv3x3(x, self.weight, self.bias)
        return super().forward(x)
