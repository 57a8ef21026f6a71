"""The autoencoder between pictures and latents, and its point-map variant with a confidence branch.

Pictures are (N, 3, H, W), nominally -1..1; latents (N, 4, H/8, W/8) times 0.18215. Parameter names are those
of the released checkpoint.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..winograd import Conv3x3
from .config import SCALE_FACTOR, VAEConfig
from .residual import Upsample

_EPS = 1e-6


class Block(nn.Module):
    """Two convolutions with a residual."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(32, channels, eps=_EPS)
        self.conv1 = Conv3x3(channels, out)
        self.norm2 = nn.GroupNorm(32, out, eps=_EPS)
        self.conv2 = Conv3x3(out, out)
        self.nin_shortcut = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return self.nin_shortcut(x) + h


class PixelAttention(nn.Module):
    """One head over all cells of the coarsest map."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=_EPS)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (conv(h).flatten(2).transpose(1, 2)[:, None] for conv in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).unflatten(2, x.shape[-2:])
        return x + self.proj_out(mixed)


class Middle(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.block_1 = Block(channels, channels)
        self.attn_1 = PixelAttention(channels)
        self.block_2 = Block(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Downsample(nn.Module):
    """Stride-2 convolution, padded at the right and bottom only."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Level(nn.Module):
    """Residual blocks of one resolution, then optionally a resampling layer."""

    def __init__(self, channels: int, out: int, count: int):
        super().__init__()
        self.block = nn.ModuleList([Block(channels if i == 0 else out, out) for i in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        for resample in ("downsample", "upsample"):
            if hasattr(self, resample):
                x = getattr(self, resample)(x)
        return x


class Encoder(nn.Module):
    """Picture to mean and log-variance, 8 channels."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        widths = [config.ch * mult for mult in config.ch_mult]
        self.conv_in = Conv3x3(config.in_channels, config.ch)
        self.down = nn.ModuleList()
        for i, (channels, out) in enumerate(zip([config.ch, *widths], widths, strict=False)):
            level = Level(channels, out, config.num_res_blocks)
            if i != len(widths) - 1:
                level.downsample = Downsample(out)
            self.down.append(level)
        self.mid = Middle(widths[-1])
        self.norm_out = nn.GroupNorm(32, widths[-1], eps=_EPS)
        self.conv_out = Conv3x3(widths[-1], 2 * config.z_channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class Decoder(nn.Module):
    """Latents to a picture; also hands out the feature before the last norm, at full resolution."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        widths = [config.ch * mult for mult in config.ch_mult]
        self.conv_in = Conv3x3(config.z_channels, widths[-1])
        self.mid = Middle(widths[-1])
        levels = []
        for i, (channels, out) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True)):
            level = Level(channels, out, config.num_res_blocks + 1)
            if i:
                level.upsample = Upsample(out)
            levels.append(level)
        self.up = nn.ModuleList(levels)  # up.0 is the full resolution
        self.norm_out = nn.GroupNorm(32, widths[0], eps=_EPS)
        self.conv_out = Conv3x3(widths[0], config.out_ch)

    def features(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        return h

    def picture(self, features: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.norm_out(features)))


class ConfidenceBranch(nn.Module):
    """Decoder features to one channel, the raw uncertainty of the point map."""

    def __init__(self, channels: int):
        super().__init__()
        self.up = nn.ModuleList([Level(channels, channels, 2)])
        self.norm_out = nn.GroupNorm(32, channels, eps=_EPS)
        self.conv_out = Conv3x3(channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.norm_out(self.up[0](features))))


class InputBranch(nn.Module):
    """A correction added to the picture before encoding; part of the checkpoint, not used at inference."""

    def __init__(self, channels: int, picture: int):
        super().__init__()
        self.conv_in = Conv3x3(picture, channels)
        self.down = nn.ModuleList([Level(channels, channels, 1)])
        self.norm_out = nn.GroupNorm(32, channels, eps=_EPS)
        self.conv_out = Conv3x3(channels, picture)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_out(F.silu(self.norm_out(self.down[0](self.conv_in(x)))))


class VAE(nn.Module):
    """The whole autoencoder, or the parts of it that inference needs.

    ``parts`` is any of "encoder", "decoder", "encoder_adaptor", "decoder_adaptor": the image VAE needs the
    first two, the point-map VAE "decoder" and "decoder_adaptor".
    """

    PARTS = ("encoder", "decoder", "encoder_adaptor", "decoder_adaptor")

    def __init__(self, config: VAEConfig | None = None, parts: tuple[str, ...] = PARTS):
        super().__init__()
        self.config = config = config or VAEConfig()
        z = config.z_channels
        if "encoder" in parts:
            self.encoder = Encoder(config)
            self.quant_conv = nn.Conv2d(2 * z, 2 * z, 1)
        if "decoder" in parts:
            self.decoder = Decoder(config)
            self.post_quant_conv = nn.Conv2d(z, z, 1)
        if "encoder_adaptor" in parts:
            self.encoder_adaptor = InputBranch(config.ch, config.in_channels)
        if "decoder_adaptor" in parts:
            self.decoder_adaptor = ConfidenceBranch(config.ch)

    def moments(self, picture: Tensor) -> Tensor:
        """Mean and log-variance (N, 8, H/8, W/8), not scaled."""
        return self.quant_conv(self.encoder(picture))

    def decode(self, latent: Tensor) -> Tensor:
        """Scaled latents to pictures (N, 3, H, W)."""
        return self.decoder.picture(self._features(latent))

    def decode_with_confidence(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled latents to a picture (N, 3, H, W) and the raw uncertainty (N, 1, H, W)."""
        features = self._features(latent)
        return self.decoder.picture(features), self.decoder_adaptor(features)

    def _features(self, latent: Tensor) -> Tensor:
        return self.decoder.features(self.post_quant_conv(latent / SCALE_FACTOR))


def latent_mean(moments: Tensor) -> Tensor:
    """Scaled latent at the mean of the posterior: the same for every run."""
    return moments.chunk(2, dim=1)[0] * SCALE_FACTOR


def latent_sample(moments: Tensor, noise: Tensor) -> Tensor:
    """Scaled latent drawn from the posterior with given standard noise, as the reference does."""
    mean, log_variance = moments.chunk(2, dim=1)
    return (mean + torch.exp(0.5 * log_variance.clamp(-30.0, 20.0)) * noise) * SCALE_FACTOR
