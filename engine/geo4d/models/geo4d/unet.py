"""The denoising network: a video U-Net with 1.44 billion parameters at the released size."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..winograd import Conv3x3
from .attention import ATTENTION, Attention, ContextKV, SpatialTransformer, TemporalTransformer
from .config import IMAGE_TOKENS, TEXT_TOKENS, UNetConfig
from .residual import Downsample, ResidualBlock, Upsample


@dataclass
class Conditions:
    """What every block of one pass is given."""

    embedding: Tensor  # (B, E) of the time step and the frame rate
    frames: int
    context: list[ContextKV]  # one a spatial transformer, in the order of the network


class Stage(nn.Sequential):
    """Layers in a row, each given the conditions it takes."""

    def forward(self, x: Tensor, given: Conditions) -> Tensor:
        for layer in self:
            if isinstance(layer, ResidualBlock):
                x = layer(x, given.embedding, given.frames)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, given.context[layer.position])
            elif isinstance(layer, TemporalTransformer):
                x = layer(x, given.frames)
            else:
                x = layer(x)
        return x


class UNet(nn.Module):
    """Predicts the velocity of the noisy latents of a window.

    ``forward`` takes x (B, 20, T, H/8, W/8): 16 noisy channels (point map, ray direction, ray moment, disparity,
    four each) and the 4 latent channels of every frame; and returns (B, 16, T, H/8, W/8). H and W are multiples
    of 64.
    """

    def __init__(self, config: UNetConfig | None = None):
        super().__init__()
        self.config = config = config or UNetConfig()
        width, embedding = config.model_channels, config.embedding_dim
        self.time_embed = _embedding_mlp(width, embedding)
        self.fps_embedding = _embedding_mlp(width, embedding)
        self.input_blocks = nn.ModuleList([Stage(Conv3x3(config.in_channels, width))])
        self.init_attn = Stage(TemporalTransformer(width, 8, config.num_head_channels, pointwise_conv=True))

        skips, channels, factor = [width], width, 1
        levels = [width * mult for mult in config.channel_mult]
        for level, out in enumerate(levels):
            for _ in range(config.num_res_blocks):
                self.input_blocks.append(Stage(*self._block(channels, out, factor)))
                channels = out
                skips.append(channels)
            if level != len(levels) - 1:
                self.input_blocks.append(Stage(Downsample(channels)))
                skips.append(channels)
                factor *= 2
        self.middle_block = Stage(
            ResidualBlock(channels, channels, embedding),
            *self._transformers(channels),
            ResidualBlock(channels, channels, embedding),
        )
        self.output_blocks = nn.ModuleList()
        for level, out in reversed(list(enumerate(levels))):
            for index in range(config.num_res_blocks + 1):
                layers = self._block(channels + skips.pop(), out, factor)
                channels = out
                if level and index == config.num_res_blocks:
                    layers.append(Upsample(channels))
                    factor //= 2
                self.output_blocks.append(Stage(*layers))
        self.out = nn.Sequential(nn.GroupNorm(32, channels), nn.SiLU(), Conv3x3(channels, config.out_channels))
        self._spatial = [m for m in self.modules() if isinstance(m, SpatialTransformer)]
        for position, layer in enumerate(self._spatial):
            layer.position = position

    def _block(self, channels: int, out: int, factor: int) -> list[nn.Module]:
        layers = [ResidualBlock(channels, out, self.config.embedding_dim)]
        if factor in self.config.attention_resolutions:
            layers += self._transformers(out)
        return layers

    def _transformers(self, channels: int) -> list[nn.Module]:
        head = self.config.num_head_channels
        heads = channels // head
        spatial = SpatialTransformer(channels, heads, head, self.config.context_dim)
        return [spatial, TemporalTransformer(channels, heads, head)]

    def use_attention(self, kind: str) -> None:
        """``"fused"`` (the default) or ``"plain"``, the float32 reference."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.attend = ATTENTION[kind]

    def project_context(self, context: Tensor, frames: int) -> list[ContextKV]:
        """Keys and values of every cross-attention for a context (B, L, C): 77 text tokens, then image tokens.

        With 16 image tokens a frame every frame sees its own; any other number is seen by all frames. The
        context of the released model never changes, so one call serves a whole run.
        """
        text, image = split_context(context, frames)
        return [layer.project(text, image) for layer in self._spatial]

    def blocks(self) -> list[nn.Module]:
        """The network cut into modules that compute one after another; together they hold all its weights."""
        stages = [*self.input_blocks, self.init_attn, self.middle_block, *self.output_blocks]
        return [self.time_embed, self.fps_embedding, *(layer for stage in stages for layer in stage), self.out]

    def spatial(self) -> list[SpatialTransformer]:
        """Those that attend to the context, in the order of the network."""
        return self._spatial

    def embed(self, timesteps: Tensor, fs: Tensor | None, dtype: torch.dtype) -> Tensor:
        """(B, E) embedding of time steps (B,) and frame rates (B,), by default 24."""
        if fs is None:
            fs = torch.full_like(timesteps, self.config.default_fs)
        width = self.config.model_channels
        time = self.time_embed(sinusoids(timesteps, width).to(dtype))
        return time + self.fps_embedding(sinusoids(fs, width).to(dtype))

    def forward(
        self, x: Tensor, timesteps: Tensor, context: Tensor | list[ContextKV], fs: Tensor | None = None
    ) -> Tensor:
        batch, _, frames = x.shape[:3]
        if isinstance(context, Tensor):
            context = self.project_context(context, frames)
        given = Conditions(self.embed(timesteps, fs, x.dtype), frames, context)
        h = x.transpose(1, 2).flatten(0, 1)
        skips = []
        for index, stage in enumerate(self.input_blocks):
            h = stage(h, given)
            if index == 0:
                h = self.init_attn(h, given)
            skips.append(h)
        h = self.middle_block(h, given)
        for stage in self.output_blocks:
            h = stage(torch.cat([h, skips.pop()], dim=1), given)
        return self.out(h).unflatten(0, (batch, frames)).transpose(1, 2)


def split_context(context: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Text tokens (B, 77, C) and image tokens of a context: (B*T, 16, C) where there are 16 a frame, else (B, L, C)."""
    text, image = context[:, :TEXT_TOKENS], context[:, TEXT_TOKENS:]
    if image.shape[1] == frames * IMAGE_TOKENS:
        image = image.reshape(-1, IMAGE_TOKENS, image.shape[-1])
    return text, image


def sinusoids(values: Tensor, dim: int) -> Tensor:
    """(B,) numbers to (B, dim) float32: cosines, then sines, of frequencies 1 down to 1/10000."""
    half = dim // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=values.device) / half)
    angles = values[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _embedding_mlp(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, out), nn.SiLU(), nn.Linear(out, out))
