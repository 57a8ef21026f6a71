"""Initial weights that already measure how far each patch moved, after Lucas and Kanade (IJCAI 1981).

A few thousand steps do not teach a transformer to compare frames to a fraction of a patch, so it begins with that.

A patch has responses e to smooth windowed waves, and responses g to their derivatives. Special tokens tell the
patches of the first frame that they are of it; the first block over all frames lets every patch look at its own place
there, which gives its response e0, and its perceptron forms the products g (e - e0). Their sum is the displacement
times the patch's contrast: a product is a difference of squares, and a GELU is nearly a square about zero. The next
block within frames takes the mean of a frame, which the camera head begins by reading as a turn about the vertical
and the horizontal. All of it is trained on like any other weight.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.vggt4d.network import Network
from ...models.vggt4d.sizes import CAMERA, SPATIAL, Sizes

WAVES = 16
# Channels of a token: responses, their derivatives across and down, the first frame's responses, the displacement,
# whether it is of the first frame, the mean displacement of its frame.
E, GX, GY, FIRST = (slice(WAVES * k, WAVES * (k + 1)) for k in range(4))
FLOW, FLAG, MEAN = slice(64, 66), 66, slice(67, 69)
USED = MEAN.stop
_SHARP = 4.5  # of queries and keys that only know their place
_QUIET = 0.05  # of what the blocks before add
_UNIT, _STEP = 0.5, 0.5  # of a product's factors, so that the squares hold
_GAIN = 4.0  # of their sum
_SHOWN = 6.0  # of the flag that special tokens carry
_TURN = 0.012  # of the quaternion's half for one unit of the mean displacement, a round of the camera head


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
    tables = encoder.pos_embed, encoder.cls_token, encoder.register_tokens, trunk.camera_token, trunk.register_token
    for table in tables:
        table[..., :USED] = 0
    for table in tables[3:]:
        table[:, 0, :, FLAG], table[:, 1, :, FLAG] = _SHOWN, -_SHOWN
    for block in (*encoder.blocks, *trunk.frame_blocks, *trunk.global_blocks):
        for layer in (block.attn.proj, block.mlp.fc2):
            layer.weight[:USED] = 0
    for block in (first, trunk.frame_blocks[1]):
        for scale in (block.ls1, block.ls2):
            scale.gamma.fill_(_QUIET)
            scale.gamma[:USED] = 1.0
    over.ls1.gamma.fill_(1.0)
    over.ls2.gamma.fill_(1.0)
    _pool(first.attn, slice(FLAG, FLAG + 1), slice(FLAG, FLAG + 1), 1.5)
    _look_at_the_first(over.attn)
    _products(over.mlp, ratio)
    _pool(trunk.frame_blocks[1].attn, FLOW, MEAN, 1.0)
    _read(getattr(network, CAMERA).pose_branch)


def _fast_and_slow(head: int) -> tuple[Tensor, Tensor]:
    """Two directions (head,) of mean zero: one that turns fast with a token's place, and one that hardly does."""
    pairs = head // 4
    fast, slow = torch.zeros(head), torch.zeros(head)
    for half in (0, head // 2):
        for direction, chosen in ((fast, range(3)), (slow, range(pairs - 3, pairs))):
            for k in chosen:
                direction[half + k], direction[half + pairs + k] = 1.0, -1.0
    return fast, slow


def _pool(attention, source: slice, target: slice, gain: float) -> None:
    """The first head takes the mean of channels over all tokens of a frame."""
    width, head = attention.heads * attention.head, attention.head
    count = source.stop - source.start
    _, slow = _fast_and_slow(head)
    for part in range(2):
        attention.qkv.weight[part * width : part * width + head] = 0
        attention.qkv.bias[part * width : part * width + head] = slow
    attention.qkv.weight[2 * width : 2 * width + count] = torch.eye(width)[source]
    attention.proj.weight[:, :count] = 0
    attention.proj.weight[target, :count] = gain * torch.eye(count)


def _look_at_the_first(attention) -> None:
    """Every token attends to its own place in the first frame: a constant turned by position, and the flag."""
    width, head, heads = attention.heads * attention.head, attention.head, attention.heads
    fast, slow = _fast_and_slow(head)
    attention.qkv.weight[: 2 * width] = 0
    attention.qkv.bias[: 2 * width] = torch.cat(((fast + slow).repeat(heads), fast.repeat(heads)))
    attention.qkv.weight[width : 2 * width, FLAG] = slow.repeat(heads)
    for norm in (attention.q_norm, attention.k_norm):
        norm.weight.fill_(_SHARP)
    attention.qkv.weight[2 * width : 2 * width + WAVES] = torch.eye(width)[E]
    attention.proj.weight.mul_(0.1)
    attention.proj.weight[:, :WAVES] = 0
    attention.proj.weight[FIRST, :WAVES] = torch.eye(WAVES)


def _read(mlp) -> None:
    """Four hidden units, of which two make a straight line: GELU(x) - GELU(-x) = x."""
    width = mlp.fc1.weight.shape[1] // 2
    for axis, (angle, sign) in enumerate(((4, -1.0), (3, 1.0))):  # about y from what moved across, about x down
        for k, whole in enumerate((1.0, -1.0)):
            unit = 2 * axis + k
            mlp.fc1.weight[unit], mlp.fc1.bias[unit] = 0, 0
            mlp.fc1.weight[unit, width + MEAN.start + axis] = whole
            mlp.fc2.weight[:, unit] = 0
            mlp.fc2.weight[angle, unit] = whole * sign * _TURN


def _products(mlp, ratio: Tensor) -> None:
    """Four hidden units a product g (e - e0): (g + d)² - (g - d)² = 4 g d."""
    hidden = 0
    mlp.fc2.weight.mul_(0.1)
    mlp.fc2.weight[:USED] = 0
    for axis, gradient in enumerate((GX, GY)):
        for k in range(WAVES):
            step = torch.zeros(mlp.fc1.weight.shape[1])
            step[E.start + k], step[FIRST.start + k] = 1.0, -1.0
            slope = torch.zeros_like(step)
            slope[gradient.start + k] = 1.0
            for sign in (1, -1):
                for whole in (1, -1):
                    row = _UNIT * whole * (slope + sign * _STEP * ratio[axis, k] * step)
                    mlp.fc1.weight[hidden], mlp.fc1.bias[hidden] = row, 0
                    mlp.fc2.weight[:, hidden] = 0
                    mlp.fc2.weight[FLOW.start + axis, hidden] = sign * _GAIN / WAVES
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
