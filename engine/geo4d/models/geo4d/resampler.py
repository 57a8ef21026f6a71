"""The perceiver between CLIP's image tokens and the network's image context; needed once, at conversion."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ResamplerConfig


class PerceiverAttention(nn.Module):
    """Latents (N, Q, C) attend to the picture's tokens (N, L, C) and to themselves."""

    def __init__(self, config: ResamplerConfig):
        super().__init__()
        inner = config.heads * config.dim_head
        self.heads, self.scale = config.heads, config.dim_head**-0.25
        self.norm1 = nn.LayerNorm(config.dim)
        self.norm2 = nn.LayerNorm(config.dim)
        self.to_q = nn.Linear(config.dim, inner, bias=False)
        self.to_kv = nn.Linear(config.dim, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, config.dim, bias=False)

    def forward(self, tokens: Tensor, latents: Tensor) -> Tensor:
        tokens, latents = self.norm1(tokens), self.norm2(latents)
        k, v = self.to_kv(torch.cat([tokens, latents], dim=1)).chunk(2, dim=-1)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (self.to_q(latents), k, v))
        weights = (q * self.scale) @ (k * self.scale).transpose(-1, -2)
        mixed = torch.softmax(weights.float(), dim=-1).to(v.dtype) @ v
        return self.to_out(mixed.transpose(1, 2).flatten(2))


class Resampler(nn.Module):
    """Image tokens (N, 257, 1280) of one picture to 256 context tokens (N, 256, 1024), 16 a frame.

    Given tokens of every frame, (N, 16, L, 1280), each frame's 16 queries see their own frame alone.
    """

    def __init__(self, config: ResamplerConfig | None = None):
        super().__init__()
        self.config = config = config or ResamplerConfig()
        dim = config.dim
        self.latents = nn.Parameter(torch.empty(1, config.num_queries * config.video_length, dim))
        self.proj_in = nn.Linear(config.embedding_dim, dim)
        self.proj_out = nn.Linear(dim, config.output_dim)
        self.norm_out = nn.LayerNorm(config.output_dim)
        self.layers = nn.ModuleList(
            nn.ModuleList([PerceiverAttention(config), _feed_forward(dim, config.ff_mult)]) for _ in range(config.depth)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        clips = len(tokens)
        latents = self.latents.expand(clips, -1, -1)
        if tokens.ndim == 4:
            latents = latents.unflatten(1, (tokens.shape[1], -1)).flatten(0, 1)
            tokens = tokens.flatten(0, 1)
        tokens = self.proj_in(tokens)
        for attention, feed_forward in self.layers:
            latents = latents + attention(tokens, latents)
            latents = latents + _apply(feed_forward, latents)
        return self.norm_out(self.proj_out(latents)).reshape(clips, -1, self.config.output_dim)


def _feed_forward(dim: int, mult: int) -> nn.ModuleList:
    linear_in, linear_out = nn.Linear(dim, mult * dim, bias=False), nn.Linear(mult * dim, dim, bias=False)
    return nn.ModuleList([nn.LayerNorm(dim), linear_in, nn.GELU(), linear_out])


def _apply(layers: nn.ModuleList, x: Tensor) -> Tensor:
    norm, linear_in, _, linear_out = layers
    return linear_out(F.gelu(linear_in(norm(x))))
