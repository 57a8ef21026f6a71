"""Attention and the spatial and temporal transformers of the denoising network.

Shapes: feature maps are (B*T, C, H, W), tokens (N, L, C). Parameter names are those of the released
checkpoint, so that its keys can be checked one by one.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ContextKV(NamedTuple):
    """Keys and values of one cross-attention layer; the context is constant, so these are computed once.

    text_k, text_v : (B, heads, 77, d), shared by all frames.
    image_k, image_v : (B*T, heads, 16, d) with each frame's own tokens, or (B, heads, L, d) shared by all.
    """

    text_k: Tensor
    text_v: Tensor
    image_k: Tensor
    image_v: Tensor


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention written out, in float32: the oracle of the fused one. Inputs (N, heads, L, d)."""
    weights = torch.softmax(q.float() @ k.float().transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1)
    return (weights @ v.float()).to(q.dtype)


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by torch's fused kernels: no L x L matrix in memory."""
    return F.scaled_dot_product_attention(q, k, v)


ATTENTION = {"fused": fused_attention, "plain": plain_attention}


class Attention(nn.Module):
    """Multi-head attention of ``query_dim`` tokens to themselves or, with ``context_dim``, to text and image tokens."""

    def __init__(self, query_dim: int, heads: int, head_dim: int, context_dim: int | None = None):
        super().__init__()
        inner, source = heads * head_dim, context_dim or query_dim
        self.heads = heads
        self.attend = fused_attention
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(source, inner, bias=False)
        self.to_v = nn.Linear(source, inner, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, query_dim)])
        if context_dim is not None:
            self.to_k_ip = nn.Linear(context_dim, inner, bias=False)
            self.to_v_ip = nn.Linear(context_dim, inner, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, context: ContextKV | None = None) -> Tensor:
        q = self._split(self.to_q(x))
        if context is None:
            mixed = self.attend(q, self._split(self.to_k(x)), self._split(self.to_v(x)))
        else:
            mixed = self._attend_shared(q, context.text_k, context.text_v)
            mixed = mixed + self._attend_shared(q, context.image_k, context.image_v)
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))

    def _attend_shared(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of (B*T, heads, L, d) queries to keys of B clips or of B*T frames."""
        n, heads, length, d = q.shape
        if k.shape[0] == n:
            return self.attend(q, k, v)
        # Queries do not see each other: a clip's frames become one longer row instead of copies of the keys.
        clips = k.shape[0]
        q = q.unflatten(0, (clips, -1)).transpose(1, 2).reshape(clips, heads, -1, d)
        mixed = self.attend(q, k, v).unflatten(2, (n // clips, length))
        return mixed.transpose(1, 2).reshape(n, heads, length, d)

    def project(self, text: Tensor, image: Tensor) -> ContextKV:
        """Keys and values of text (B, 77, C) and image (B or B*T, L, C) tokens."""
        return ContextKV(
            self._split(self.to_k(text)).contiguous(),
            self._split(self.to_v(text)).contiguous(),
            self._split(self.to_k_ip(image)).contiguous(),
            self._split(self.to_v_ip(image)).contiguous(),
        )


class GatedGELU(nn.Module):
    """Linear to twice the width; one half gates the other through an exact GELU."""

    def __init__(self, dim: int, inner: int):
        super().__init__()
        self.proj = nn.Linear(dim, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.net = nn.ModuleList([GatedGELU(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


class TransformerBlock(nn.Module):
    """Self-attention, second attention (to the context, or to itself again), feed-forward; all residual."""

    def __init__(self, dim: int, heads: int, head_dim: int, context_dim: int | None):
        super().__init__()
        self.attn1 = Attention(dim, heads, head_dim)
        self.ff = FeedForward(dim)
        self.attn2 = Attention(dim, heads, head_dim, context_dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, context: ContextKV | None = None) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Every frame by itself: tokens are its pixels; also attends to text and image context."""

    def __init__(self, channels: int, heads: int, head_dim: int, context_dim: int):
        super().__init__()
        inner = heads * head_dim
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, inner)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(inner, heads, head_dim, context_dim)])
        self.proj_out = nn.Linear(inner, channels)

    def forward(self, x: Tensor, context: ContextKV) -> Tensor:
        height = x.shape[-2]
        tokens = self.norm(x).flatten(2).transpose(1, 2).contiguous()  # strided tokens multiply many times slower
        tokens = self.transformer_blocks[0](self.proj_in(tokens), context)
        return x + self.proj_out(tokens).transpose(1, 2).unflatten(2, (height, -1))

    def project(self, text: Tensor, image: Tensor) -> ContextKV:
        return self.transformer_blocks[0].attn2.project(text, image)


class TemporalTransformer(nn.Module):
    """Every pixel by itself: tokens are the frames. No mask and no positions."""

    def __init__(self, channels: int, heads: int, head_dim: int, pointwise_conv: bool = False):
        super().__init__()
        inner = heads * head_dim
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        if pointwise_conv:  # the first one stores its linear maps as convolutions of width 1
            self.proj_in, self.proj_out = nn.Conv1d(channels, inner, 1), nn.Conv1d(inner, channels, 1)
        else:
            self.proj_in, self.proj_out = nn.Linear(channels, inner), nn.Linear(inner, channels)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(inner, heads, head_dim, None)])

    def forward(self, x: Tensor, frames: int) -> Tensor:
        height = x.shape[-2]
        clip = x.unflatten(0, (-1, frames)).transpose(1, 2).flatten(3)  # (B, C, T, H*W)
        tokens = self.norm(clip).permute(0, 3, 2, 1).flatten(0, 1).contiguous()  # (B*H*W, T, C)
        tokens = self.transformer_blocks[0](_linear(self.proj_in, tokens))
        tokens = _linear(self.proj_out, tokens).unflatten(0, (clip.shape[0], -1))  # (B, H*W, T, C)
        return x + tokens.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, (height, -1))


def _linear(layer: nn.Linear | nn.Conv1d, tokens: Tensor) -> Tensor:
    weight = layer.weight if layer.weight.ndim == 2 else layer.weight.squeeze(-1)
    return F.linear(tokens, weight, layer.bias)
