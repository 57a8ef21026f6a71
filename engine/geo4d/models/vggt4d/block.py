"""The transformer block that every part of the network is made of, and the rotation of its queries and keys.

Matrix products run in the type of the weights; norms, rotations and the residual stream stay in float32.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x.to(weight.dtype), weight, None if bias is None else bias.to(weight.dtype))


class Linear(nn.Linear):
    """Computes in the type of its weights, whatever it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class LayerNorm(nn.LayerNorm):
    """In float32."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


class LayerScale(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(width))


@dataclass(frozen=True)
class Rotation:
    """Tables of the two-dimensional rotary position code of the tokens of one frame, (P, d/4) each, float32.

    The first half of a head's channels turns with the row, the second with the column; within a half, channel i
    and channel i + d/4 are one pair.
    """

    row_cos: Tensor
    row_sin: Tensor
    column_cos: Tensor
    column_sin: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` (..., P, d) float32, turned."""
        a, b, c, d = x.chunk(4, dim=-1)
        rows = (a * self.row_cos - b * self.row_sin, b * self.row_cos + a * self.row_sin)
        columns = (c * self.column_cos - d * self.column_sin, d * self.column_cos + c * self.column_sin)
        return torch.cat((*rows, *columns), dim=-1)


def rotation(positions: Tensor, head: int, base: float = 100.0) -> Rotation:
    """Tables for ``positions`` (P, 2) of (row, column) and heads of ``head`` channels."""
    half = head // 2
    frequencies = base ** (-torch.arange(0, half, 2, device=positions.device, dtype=torch.float32) / half)
    row, column = (positions[:, axis, None].float() * frequencies for axis in (0, 1))
    return Rotation(row.cos(), row.sin(), column.cos(), column.sin())


def grid_positions(rows: int, columns: int, specials: int, device: torch.device | None = None) -> Tensor:
    """(P, 2): ``specials`` tokens at (0, 0), then patches from (1, 1) on, row by row."""
    grid = torch.cartesian_prod(torch.arange(1, rows + 1), torch.arange(1, columns + 1))
    return torch.cat((torch.zeros(specials, 2, dtype=grid.dtype), grid)).to(device)


class Attention(nn.Module):
    """Multi-head attention; ``normed`` norms each head's queries and keys. ``window`` adds the bias of time."""

    def __init__(self, width: int, heads: int, normed: bool, window: int = 0):
        super().__init__()
        self.heads, self.head = heads, width // heads
        self.qkv = Linear(width, 3 * width)
        self.q_norm = LayerNorm(self.head) if normed else None
        self.k_norm = LayerNorm(self.head) if normed else None
        self.proj = Linear(width, width)
        if window:
            self.relative_time_bias = nn.Parameter(torch.empty(heads, window))

    def queries(self, x: Tensor, turn: Rotation | None) -> Tensor:
        """(B, T, C) to (B, heads, T, d), normed and turned, in the type of the weights."""
        return self._finish(self._project(x, 0), self.q_norm, turn)

    def keys(self, x: Tensor, turn: Rotation | None) -> Tensor:
        return self._finish(self._project(x, 1), self.k_norm, turn)

    def values(self, x: Tensor) -> Tensor:
        return self._project(x, 2)

    def forward(self, x: Tensor, turn: Rotation | None = None) -> Tensor:
        """Attention within each row of ``x`` (B, T, C)."""
        B, T = x.shape[:2]
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, self.head).permute(2, 0, 3, 1, 4)
        q, k = self._finish(q, self.q_norm, turn), self._finish(k, self.k_norm, turn)
        return self.join(F.scaled_dot_product_attention(q, k, v))

    def join(self, x: Tensor) -> Tensor:
        """Heads (B, heads, T, d) back to (B, T, C), through the last layer."""
        return self.proj(x.transpose(1, 2).flatten(2))

    def _project(self, x: Tensor, part: int) -> Tensor:
        """One third of the fused layer."""
        C = self.heads * self.head
        rows = slice(part * C, (part + 1) * C)
        out = linear(x, self.qkv.weight[rows], self.qkv.bias[rows])
        return out.view(*x.shape[:2], self.heads, self.head).transpose(1, 2)

    def _finish(self, x: Tensor, norm: LayerNorm | None, turn: Rotation | None) -> Tensor:
        dtype = x.dtype
        if norm is not None:
            x = norm(x)
        if turn is not None:
            x = turn(x.float())
        return x.to(dtype)


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int, outputs: int | None = None):
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, outputs or width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """x + scale * attention(norm x), then x + scale * mlp(norm x)."""

    def __init__(self, width: int, heads: int, hidden: int, normed: bool = False, eps: float = 1e-5, window: int = 0):
        super().__init__()
        self.norm1 = LayerNorm(width, eps)
        self.attn = Attention(width, heads, normed, window)
        self.ls1 = LayerScale(width)
        self.norm2 = LayerNorm(width, eps)
        self.mlp = Mlp(width, hidden)
        self.ls2 = LayerScale(width)

    def forward(self, x: Tensor, turn: Rotation | None = None) -> Tensor:
        """``x`` (B, T, C) float32, attention within each row."""
        return self.finish(x, self.attn(self.norm1(x), turn))

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of the block after its attention."""
        x = x + attended.float() * self.ls1.gamma
        return x + self.mlp(self.norm2(x)).float() * self.ls2.gamma
