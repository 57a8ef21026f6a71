"""Initial weights that already measure how far each patch moved, after Lucas and Kanade (IJCAI 1981).

A few thousand steps do not teach a transformer to compare frames to a fraction of a patch, so it begins with that.
A patch has responses e to smooth windowed waves, and responses g to their derivatives. The first block over all
frames averages e of the same patch over the frames, m; its perceptron forms the products g (e - m), whose sum is the
displacement against the window's mean times the patch's contrast: a product is a difference of squares, and a GELU
is nearly a square about zero. All of it is trained on like any other weight.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.vggt4d.network import Network
from ...models.vggt4d.sizes import SPATIAL, Sizes

WAVES = 16
# Channels of a token: responses, their derivatives across and down, their mean over the frames, the displacement.
E, GX, GY, MEAN = (slice(WAVES * k, WAVES * (k + 1)) for k in range(4))
FLOW = slice(4 * WAVES, 4 * WAVES + 2)
USED = FLOW.stop
_SHARP = 3.0  # of queries and keys that only know their place
_QUIET = 0.05  # of what the blocks before add
_UNIT, _STEP = 0.5, 0.5  # of a product's factors, so that the squares hold


def fits(sizes: Sizes) -> bool:
    """Whether a network of ``sizes`` has room for it."""
    return sizes.width >= USED and sizes.hidden >= 8 * WAVES and sizes.encoder.depth > 0


@torch.no_grad()
def prepare(network: Network) -> None:
    """Overwrite what is needed of freshly drawn weights."""
    trunk = getattr(network, SPATIAL)
    encoder, first, over = trunk.patch_embed, trunk.frame_blocks[0], trunk.global_blocks[0]
    kernels, ratio = _kernels(network.sizes.patch)
    weight = encoder.patch_embed.proj.weight
    weight[:USED] = 0
    weight[: GY.stop] = kernels
    for table in (encoder.pos_embed, encoder.cls_token, encoder.register_tokens):
        table[..., :USED] = 0
    for block in (*encoder.blocks, first):
        for layer in (block.attn.proj, block.mlp.fc2):
            layer.weight[:USED] = 0
    for scale in (first.ls1, first.ls2):
        scale.gamma.fill_(_QUIET)
    over.ls1.gamma.fill_(1.0)
    over.ls2.gamma.fill_(1.0)
    _same_place(over.attn)
    _products(over.mlp, ratio)


def _same_place(attention) -> None:
    """Every token attends to its own place in all frames: queries and keys are one constant, turned by position."""
    width, head = attention.heads * attention.head, attention.head
    place = torch.zeros(head)
    fast = torch.arange(3)  # of the pairs of channels that turn, the fastest
    for half in (0, head // 2):
        place[half + fast], place[half + head // 4 + fast] = 1.0, -1.0
    attention.qkv.weight[: 2 * width] = 0
    attention.qkv.bias[: 2 * width] = place.repeat(2 * attention.heads)
    for norm in (attention.q_norm, attention.k_norm):
        norm.weight.fill_(_SHARP)
    attention.qkv.weight[2 * width : 2 * width + WAVES] = torch.eye(width)[E]
    attention.proj.weight.mul_(0.1)
    attention.proj.weight[:USED] = 0
    attention.proj.weight[MEAN, :WAVES] = torch.eye(WAVES)


def _products(mlp, ratio: Tensor) -> None:
    """Four hidden units a product g (e - m): (g + d)² - (g - d)² = 4 g d."""
    hidden = 0
    mlp.fc2.weight.mul_(0.1)
    mlp.fc2.weight[:USED] = 0
    for axis, gradient in enumerate((GX, GY)):
        for k in range(WAVES):
            step = torch.zeros(mlp.fc1.weight.shape[1])
            step[E.start + k], step[MEAN.start + k] = 1.0, -1.0
            slope = torch.zeros_like(step)
            slope[gradient.start + k] = 1.0
            for sign in (1, -1):
                for whole in (1, -1):
                    row = _UNIT * whole * (slope + sign * _STEP * ratio[axis, k] * step)
                    mlp.fc1.weight[hidden], mlp.fc1.bias[hidden] = row, 0
                    mlp.fc2.weight[:, hidden] = 0
                    mlp.fc2.weight[FLOW.start + axis, hidden] = sign / WAVES
                    hidden += 1


def _kernels(patch: int) -> tuple[Tensor, Tensor]:
    """Kernels (3 WAVES, 3, p, p) of unit response to pictures of the usual spectrum; and, (2, WAVES), how much more
    unit steps of e mean than unit slopes, a pixel."""
    at = (torch.arange(patch) + 0.5) / patch * 2 * math.pi
    window, slope = (1 - at.cos()) / 2, at.sin() / 2
    waves = [(torch.ones(patch), torch.zeros(patch)), (at.cos(), -at.sin()), (at.sin(), at.cos())]
    double = (2 * at).cos(), -2 * (2 * at).sin()
    # A windowed wave and its derivative, by angle.
    one = [(window * w, slope * w + window * d) for w, d in (*waves, double)]
    pairs = [(a, b) for a in range(3) for b in range(3)] + [(3, 0), (0, 3)]  # brightness
    luma, chroma = torch.tensor([0.3, 0.6, 0.1]), torch.tensor([0.7, 0.0, -0.7])
    chosen = [(luma, *pair) for pair in pairs] + [(chroma, a, b) for a, b in pairs[:5]]

    def kernel(colour: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return colour[:, None, None] * rows[:, None] * columns

    per_pixel = 2 * math.pi / patch
    e = torch.stack([kernel(c, one[a][0], one[b][0]) for c, a, b in chosen])
    gx = torch.stack([kernel(c, one[a][0], one[b][1]) for c, a, b in chosen]) * -per_pixel
    gy = torch.stack([kernel(c, one[a][1], one[b][0]) for c, a, b in chosen]) * -per_pixel
    spreads = [F.conv2d(_pictures(), k, stride=patch).std(dim=(0, 2, 3)) for k in (e, gx, gy)]
    kernels = [k / s[:, None, None, None] for k, s in zip((e, gx, gy), spreads, strict=True)]
    return torch.cat(kernels), torch.stack([spreads[0] / spread for spread in spreads[1:]])


def _pictures(count: int = 24, side: int = 112) -> Tensor:
    """Noise whose amplitude falls with the frequency, as that of photographs does; colours are half as strong."""
    draw = torch.Generator().manual_seed(0)
    f = torch.fft.fftfreq(side)
    fall = 1 / (f[:, None] ** 2 + f**2).sqrt().clamp_min(1 / side)
    noise = torch.randn(count, 4, side, side, generator=draw)
    field = torch.fft.ifft2(torch.fft.fft2(noise) * fall).real
    field = field / field.std()
    return field[:, :1] + 0.5 * field[:, 1:]
