"""The two trunks: frames each by itself, then all frames together (spatial) or near ones (temporal).

Tokens of all frames are one (S, P, C) float32 tensor; every block goes over it a few frames at a time, with the keys
and values of the frames that those look at. The arithmetic does not depend on how many.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .block import Block, Rotation
from .by_frames import spans, update
from .encoder import build
from .sizes import Sizes

_ALIGNED = 8  # channels, as fast attention wants them

Bring = Callable[[nn.Module], AbstractContextManager]


class Trunk(nn.Module):
    """``frame_blocks`` and a second kind of block, alternating in groups; what layers to keep is up to the caller."""

    second: str  # name of the second kind

    def __init__(self, sizes: Sizes, window: int = 0):
        super().__init__()
        self.sizes = sizes
        self.bring: Bring = lambda block: contextlib.nullcontext()
        arguments = sizes.width, sizes.heads, sizes.hidden
        self.frame_blocks = nn.ModuleList(Block(*arguments, normed=True) for _ in range(sizes.depth))
        seconds = [Block(*arguments, normed=True, window=window) for _ in range(sizes.depth)]
        setattr(self, self.second, nn.ModuleList(seconds))

    def layers(self, x: Tensor, turn: Rotation, at_once: int, dtype: torch.dtype) -> Iterator[Tensor]:
        """The tapped layers in order, (S, P, 2C) as ``dtype``: the frame block's output, then the second's.

        ``x`` is overwritten.
        """
        blocks = getattr(self, self.second)
        last = max(self.sizes.taps)
        for start in range(0, self.sizes.depth, self.sizes.group):
            kept = {}
            group = range(start, min(start + self.sizes.group, self.sizes.depth))
            for number in group:
                with self.bring(self.frame_blocks[number]):
                    x = self._frames(self.frame_blocks[number], x, turn, at_once)
                if number in self.sizes.taps:
                    kept[number] = x.to(dtype, copy=True)
            for number in group:
                with self.bring(blocks[number]):
                    x = self.attend(blocks[number], x, turn, at_once)
                if number in kept:
                    yield torch.cat((kept.pop(number), x.to(dtype)), dim=-1)
                if number == last:
                    return

    def _frames(self, block: Block, x: Tensor, turn: Rotation, at_once: int) -> Tensor:
        return update(x, at_once, lambda a, b: block(x[a:b], turn))

    def attend(self, block: Block, x: Tensor, turn: Rotation, at_once: int) -> Tensor:
        raise NotImplementedError


class SpatialTrunk(Trunk):
    """Frame attention and attention over all tokens of all frames; holds the encoder and the special tokens too."""

    second = "global_blocks"

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        self.patch_embed = build(sizes)
        self.camera_token = nn.Parameter(torch.empty(1, 2, 1, sizes.width))
        self.register_token = nn.Parameter(torch.empty(1, 2, sizes.registers, sizes.width))

    def tokens(self, images: Tensor, at_once: int) -> Tensor:
        """Pictures (S, 3, H, W) to (S, P, C): camera, registers, patches; the first frame has specials of its own."""
        encoder = self.patch_embed
        with self.bring(encoder):
            parts = [encoder(images[a:b]).float() for a, b in spans(len(images), at_once)]
        special = torch.cat((self.camera_token, self.register_token), dim=2)[0]
        special = torch.cat((special[:1], special[1:].expand(len(images) - 1, -1, -1)))
        x = images.new_empty(len(images), special.shape[1] + parts[0].shape[1], self.sizes.width)
        if torch.is_grad_enabled():
            return torch.cat((special, torch.cat(parts)), dim=1)
        x[:, : special.shape[1]] = special
        for a, _ in spans(len(images), at_once):
            part = parts.pop(0)
            x[a : a + len(part), special.shape[1] :] = part
        return x

    def attend(self, block: Block, x: Tensor, turn: Rotation, at_once: int) -> Tensor:
        attention = block.attn
        keys, values = [], []
        for a, b in spans(len(x), at_once):
            normed = block.norm1(x[a:b])
            keys.append(attention.keys(normed, turn).transpose(0, 1))
            values.append(attention.values(normed).transpose(0, 1))
        keys = torch.cat(keys, dim=1).flatten(1, 2)[None]
        values = torch.cat(values, dim=1).flatten(1, 2)[None]

        def some(a: int, b: int) -> Tensor:
            queries = attention.queries(block.norm1(x[a:b]), turn).transpose(0, 1)
            attended = F.scaled_dot_product_attention(queries.flatten(1, 2)[None], keys, values)
            attended = attended[0].unflatten(1, (b - a, -1)).transpose(0, 1)
            return block.finish(x[a:b], attention.join(attended))

        return update(x, at_once, some)


class TemporalTrunk(Trunk):
    """Frame attention and attention to the frames at most ``window // 2`` away, with a learnt bias of the distance.

    The bias enters as a product of extra channels: a key marks its frame's number modulo the count of channels, a
    query carries there the bias of that frame times sqrt(d). So attention needs neither a mask nor copies of keys,
    and fast kernels serve; frames beyond the ends are simply not there.
    """

    second = "temporal_blocks"

    def __init__(self, sizes: Sizes):
        super().__init__(sizes, sizes.window)
        self.radius = sizes.window // 2

    def attend(self, block: Block, x: Tensor, turn: Rotation, at_once: int) -> Tensor:
        count, radius = len(x), self.radius
        slots = -(-self.sizes.window // _ALIGNED) * _ALIGNED
        held: list[Tensor] = []  # keys and values of frames first..ready, (heads, frames, P, d + slots)
        first = ready = 0

        def some(a: int, b: int) -> Tensor:
            nonlocal held, first, ready
            stop = min(count, b + radius)
            if stop > ready:
                new = self._marked(block, x[ready:stop], turn, ready, slots)
                held = [torch.cat(pair, dim=1) for pair in zip(held, new, strict=True)] if held else list(new)
                ready = stop
            attended = self._windows(block, x[a:b], turn, a, held, first, ready, slots)
            block_out = block.finish(x[a:b], block.attn.join(attended))
            drop = max(0, b - radius) - first
            held, first = [part[:, drop:] for part in held], first + drop
            return block_out

        return update(x, at_once, some)

    def _marked(self, block: Block, x: Tensor, turn: Rotation, first: int, slots: int) -> tuple[Tensor, Tensor]:
        """Keys with their frame's mark, values with zeros beside them."""
        normed = block.norm1(x)
        keys = block.attn.keys(normed, turn).transpose(0, 1)
        mark = keys.new_zeros(len(x), slots)
        mark[torch.arange(len(x)), torch.arange(first, first + len(x)) % slots] = 1
        mark = mark[None, :, None].expand(*keys.shape[:3], -1)
        values = block.attn.values(normed).transpose(0, 1)
        return torch.cat((keys, mark), dim=-1), F.pad(values, (0, slots))

    def _windows(
        self, block: Block, x: Tensor, turn: Rotation, first: int, held: list[Tensor], base: int, stop: int, slots: int
    ) -> Tensor:
        """Attention of frames ``first``.. to their neighbours, (n, heads, P, d)."""
        attention, radius = block.attn, self.radius
        queries = attention.queries(block.norm1(x), turn)
        head = queries.shape[-1]
        out = []
        for t, q in enumerate(queries, first):
            low, high = max(base, t - radius), min(stop, t + radius + 1)
            near = torch.arange(low, high)
            bias = q.new_zeros(q.shape[0], slots)
            bias[:, near % slots] = (attention.relative_time_bias[:, near - t + radius] * head**0.5).to(q.dtype)
            q = torch.cat((q, bias[:, None].expand(-1, q.shape[1], -1)), dim=-1)
            k, v = (part[:, low - base : high - base].flatten(1, 2)[None] for part in held)
            out.append(F.scaled_dot_product_attention(q[None], k, v, scale=head**-0.5)[0, ..., :head])
        return torch.stack(out)
