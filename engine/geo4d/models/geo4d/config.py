"""Sizes of the Geo4D networks; the defaults are the released model's."""

from dataclasses import dataclass, fields

FRAMES = 16  # frames of a window; the image context has 16 tokens for each of them
TEXT_TOKENS = 77
IMAGE_TOKENS = 16  # a frame
LATENT_CHANNELS = 4  # of one picture; four pictures are denoised together
LATENT_STRIDE = 8  # pixels a latent cell
SCALE_FACTOR = 0.18215  # latents are stored times this


@dataclass(frozen=True)
class UNetConfig:
    """The denoising network. Channels of level i are ``model_channels * channel_mult[i]``."""

    in_channels: int = 20  # 16 noisy + 4 of the frame
    out_channels: int = 16
    model_channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (4, 2, 1)  # down-sampling factors that have attention
    num_head_channels: int = 64
    context_dim: int = 1024
    default_fs: int = 24

    @property
    def embedding_dim(self) -> int:
        return 4 * self.model_channels


@dataclass(frozen=True)
class VAEConfig:
    """The KL autoencoder (8 pixels a latent cell)."""

    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    z_channels: int = 4
    in_channels: int = 3
    out_ch: int = 3


@dataclass(frozen=True)
class TextConfig:
    """The text tower of CLIP; used once, at conversion."""

    width: int = 1024
    layers: int = 24
    heads: int = 16
    vocab_size: int = 49408
    context_length: int = TEXT_TOKENS
    embed_dim: int = 1024


@dataclass(frozen=True)
class VisionConfig:
    """The image tower of CLIP; used once, at conversion."""

    width: int = 1280
    layers: int = 32
    head_width: int = 80
    image_size: int = 224
    patch_size: int = 14
    embed_dim: int = 1024


@dataclass(frozen=True)
class ResamplerConfig:
    """The perceiver that turns image tokens into context tokens; used once, at conversion."""

    dim: int = 1024
    depth: int = 4
    dim_head: int = 64
    heads: int = 12
    num_queries: int = IMAGE_TOKENS
    embedding_dim: int = 1280
    output_dim: int = 1024
    ff_mult: int = 4
    video_length: int = FRAMES


def from_mapping(kind, values: dict):
    """A config of ``kind`` from a mapping that may hold further names (metadata of a weight or golden file)."""
    known = {field.name for field in fields(kind)}
    chosen = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in known}
    return kind(**chosen)
