"""The small twin of 4D-VGGT: every part of the released network at a width that a processor can train."""

import math
from dataclasses import asdict

import torch
import torch.nn.functional as F

from ...models.vggt4d.network import Network
from ...models.vggt4d.sizes import CAMERA, DENSE, FUSION, SPATIAL, TEMPORAL, DenseHead, Encoder, Sizes

VERSION = 1  # of sizes and initial weights; training states of another version are refused
_SCALE = 0.3  # of what a block adds at first; the released network begins at 0.01 and has years to grow
_SHARP = 1.5  # of normed queries and keys that compare frames
_ANGLE = 0.2  # radians of view that each round of the camera head adds at first
_HEAD_STEPS = (-1, 1, -2, 2)  # frames that the heads of a temporal block look towards at first, in turn
_AWAY = -4.0  # their bias for all other frames

SIZES = Sizes(
    width=128,
    depth=4,
    heads=4,
    hidden=256,
    registers=4,
    encoder=Encoder(width=128, depth=2, heads=4, hidden=256, registers=4, grid=10),
    camera_depth=1,
    camera_heads=4,
    camera_hidden=128,
    depth_head=DenseHead(32, (32, 32, 48, 48), 16, 2),
    point_head=DenseHead(32, (32, 32, 48, 48), 16, 4),
    window=5,
    taps=(0, 1, 2, 3),
    image=154,
    frames=8,
)


def config(sizes: Sizes) -> dict:
    """Sizes as plain values."""
    return asdict(sizes) | {"taps": list(sizes.taps)}


def fresh(sizes: Sizes = SIZES) -> Network:
    """A network to train, drawn with torch's generator.

    Attention between frames begins as a comparison: queries and keys are one projection, so that a token attends to
    those that look like it and learns where they are from the positions that they carry.
    """
    network = Network(sizes)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            _fill(name, parameter)
        width = sizes.width
        trunks = (getattr(network, SPATIAL).global_blocks, getattr(network, TEMPORAL).temporal_blocks)
        for block in (block for blocks in trunks for block in blocks):
            weight = block.attn.qkv.weight
            weight[width : 2 * width] = weight[:width]
            block.attn.q_norm.weight.fill_(_SHARP)
            block.attn.k_norm.weight.fill_(_SHARP)
        encoder = getattr(network, SPATIAL).patch_embed
        encoder.pos_embed.copy_(_waves(sizes.encoder.grid, sizes.encoder.width))
        patch = encoder.patch_embed.proj.weight  # smooth at first: neighbouring pixels mean the same
        coarse = torch.randn(*patch.shape[:2], 5, 5) / (3 * sizes.patch)
        patch.copy_(F.interpolate(coarse, size=patch.shape[-2:], mode="bicubic"))
        for head in getattr(network, DENSE).children():
            head.scratch.output_conv2[2].weight.mul_(0.1)
        getattr(network, DENSE).point_head.scratch.output_conv2[2].bias[2] = math.log(2)  # one unit ahead
        branch = getattr(network, CAMERA).pose_branch.fc2
        branch.weight.mul_(0.2)
        branch.weight[7:].mul_(0.1)
        branch.bias[7:] = _ANGLE  # below 0 an angle of view would have no gradient for ever
    return network


def _fill(name: str, parameter: torch.Tensor) -> None:
    last = name.rsplit(".", 1)[-1]
    if name.endswith("relative_time_bias"):
        radius = parameter.shape[1] // 2
        parameter.fill_(_AWAY)
        for head, row in enumerate(parameter):
            row[radius + max(-radius, min(radius, _HEAD_STEPS[head % 4]))] = 0
    elif last == "gamma":
        parameter.fill_(_SCALE)
    elif name == f"{FUSION}.alpha":
        parameter.fill_(0.3)
    elif "norm" in name:
        parameter.fill_(1.0 if last == "weight" else 0.0)
    elif last in ("camera_token", "register_token", "cls_token", "register_tokens"):
        parameter.normal_(0, 0.5)
    elif parameter.ndim > 1 and last == "weight":
        gain = 2.0 if name.startswith(DENSE) else 1.0  # convolutions between rectifiers
        inputs = parameter.shape[0] if ".resize_layers." in name and parameter.shape[-1] != 3 else parameter[0].numel()
        parameter.normal_(0, (gain / inputs) ** 0.5)
    else:
        parameter.zero_()


def _waves(grid: int, width: int) -> torch.Tensor:
    """(1, 1 + grid², C) sines and cosines of row and column, for the position table."""
    frequencies = math.pi * 2 ** torch.linspace(-1, 3, width // 4)
    angles = (torch.arange(grid) + 0.5)[:, None] / grid * frequencies
    waves = torch.cat((angles.sin(), angles.cos()), dim=1)  # (grid, C / 2)
    rows, columns = waves[:, None].expand(-1, grid, -1), waves[None].expand(grid, -1, -1)
    table = torch.cat((rows, columns), dim=-1).flatten(0, 1)
    return 0.5 * torch.cat((torch.zeros(1, width), table))[None]
