"""The head that refines one camera a frame from the spatial trunk's camera tokens, in float32."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .block import Block, LayerNorm, Linear, Mlp
from .sizes import Sizes

_ROUNDS = 4


class CameraHead(nn.Module):
    """Camera tokens (S, 2C) to camera codes (4, S, 9), see :mod:`.pose`; the last is the best."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        width = 2 * sizes.width
        self.token_norm = LayerNorm(width)
        self.trunk_norm = LayerNorm(width)
        self.empty_pose_tokens = nn.Parameter(torch.empty(1, 1, 9))
        self.embed_pose = Linear(9, width)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), Linear(width, 3 * width))
        self.trunk = nn.ModuleList(Block(width, sizes.camera_heads, 4 * width) for _ in range(sizes.camera_depth))
        self.pose_branch = Mlp(width, sizes.camera_hidden, 9)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.token_norm(tokens[None])
        plain = F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
        code, codes = None, []
        for _ in range(_ROUNDS):
            given = self.embed_pose(self.empty_pose_tokens if code is None else code)
            shift, scale, gate = self.poseLN_modulation(given).chunk(3, dim=-1)
            x = gate * (plain * (1 + scale) + shift) + tokens
            for block in self.trunk:
                x = block(x)
            step = self.pose_branch(self.trunk_norm(x))
            code = step if code is None else code + step  # raw: the angles' lower bound is for the outside alone
            codes.append(torch.cat((code[..., :7], code[..., 7:].relu()), dim=-1)[0])
        return torch.stack(codes)
