"""Residual and temporal convolution blocks and the resampling layers of the denoising network.

Feature maps are (B*T, C, H, W). Parameter names are those of the released checkpoint.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ..winograd import Conv3x3


class TemporalConv(nn.Module):
    """Four convolutions along time with a residual. Norm statistics run over time and space together."""

    def __init__(self, channels: int):
        super().__init__()
        for index in range(1, 5):
            stage = [nn.GroupNorm(32, channels), nn.SiLU(), nn.Identity()]
            # The released model has a dropout before the convolution from the second stage on, which shifts keys.
            stage[2 if index == 1 else 3 :] = [nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))]
            self.add_module(f"conv{index}", nn.Sequential(*stage))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        height = x.shape[-2]
        clip = x.unflatten(0, (-1, frames)).transpose(1, 2).flatten(3)  # (B, C, T, H*W)
        h = clip
        for stage in (self.conv1, self.conv2, self.conv3, self.conv4):
            conv = stage[-1]
            # A 3x1x1 kernel over (T, H, W) is a 3x1 kernel over (T, H*W), which every back-end does faster.
            h = F.conv2d(F.silu(stage[0](h)), conv.weight.squeeze(-1), conv.bias, padding=(1, 0))
        return (clip + h).transpose(1, 2).flatten(0, 1).unflatten(2, (height, -1))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions a frame, the time embedding between them, then the temporal convolutions."""

    def __init__(self, channels: int, out_channels: int, embedding_dim: int):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, channels), nn.SiLU(), Conv3x3(channels, out_channels))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding_dim, out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out_channels),
            nn.SiLU(),
            nn.Identity(),  # dropout in training
            Conv3x3(out_channels, out_channels),
        )
        same = channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)
        self.temopral_conv = TemporalConv(out_channels)  # the checkpoint's spelling

    def forward(self, x: Tensor, embedding: Tensor, frames: int) -> Tensor:
        """``embedding`` is (B, E), one row a clip."""
        shift = self.emb_layers(embedding).repeat_interleave(frames, dim=0)[:, :, None, None]
        h = self.out_layers(self.in_layers(x) + shift)
        return self.temopral_conv(self.skip_connection(x) + h, frames)


class Downsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Twice the size; of the network and of the autoencoder's decoder."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = Conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
