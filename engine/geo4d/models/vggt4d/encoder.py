"""The image encoder: DINOv2 with registers, or the bare patch convolution of small test networks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .block import Block, LayerNorm
from .sizes import Encoder, Sizes

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PatchConvolution(nn.Module):
    """Pictures (F, 3, H, W) to tokens (F, N, C), row by row."""

    def __init__(self, width: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(normalise(images)).flatten(2).transpose(1, 2)


class Dino(nn.Module):
    """Pictures to patch tokens through a vision transformer whose position table is resized to the picture."""

    def __init__(self, sizes: Encoder, patch: int):
        super().__init__()
        width = sizes.width
        self.sizes = sizes
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + sizes.grid**2, width))
        self.register_tokens = nn.Parameter(torch.empty(1, sizes.registers, width))
        self.patch_embed = PatchConvolution(width, patch)
        self.blocks = nn.ModuleList(Block(width, sizes.heads, sizes.hidden, eps=1e-6) for _ in range(sizes.depth))
        self.norm = LayerNorm(width, 1e-6)

    def positions(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows * columns, C): the table, resized with an antialiased cubic of a = -0.5 where it must be."""
        grid = self.sizes.grid
        if rows == columns == grid:
            return self.pos_embed
        first, table = self.pos_embed[:, :1], self.pos_embed[:, 1:].float()
        table = table.reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
        table = F.interpolate(table, size=(rows, columns), mode="bicubic", antialias=True, align_corners=False)
        return torch.cat((first, table.flatten(2).transpose(1, 2).to(first.dtype)), dim=1)

    def tokens(self, images: Tensor) -> Tensor:
        """What the first block is given: class token, registers (which have no position), patches."""
        x = self.patch_embed(images)
        rows, columns = (side // self.patch_embed.proj.kernel_size[0] for side in images.shape[-2:])
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1) + self.positions(rows, columns)
        return torch.cat((x[:, :1], self.register_tokens.expand(len(x), -1, -1), x[:, 1:]), dim=1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.tokens(images)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1 + self.sizes.registers :]


def normalise(images: Tensor) -> Tensor:
    """Pictures (F, 3, H, W) of 0..1 to the mean and spread that the encoder was trained with."""
    mean, deviation = (images.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
    return (images - mean) / deviation


def build(sizes: Sizes) -> nn.Module:
    if sizes.encoder.heads:
        return Dino(sizes.encoder, sizes.patch)
    return PatchConvolution(sizes.encoder.width, sizes.patch)
