"""The two CLIP towers, needed once: at conversion they turn the fixed prompt and an empty picture into constants.

Architecture of OpenCLIP's ViT-H/14. Parameter names are those of the released checkpoint, which also carries
parameters that are never used; they are declared so that every key and shape can be checked.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import TEXT_TOKENS, TextConfig, VisionConfig

# "Output a video that assigns each 3D location in the world a consistent color." in CLIP's byte-pair codes
PROMPT = [49406, 17255, 320, 1455, 682, 587, 4659, 2416, 274, 323, 4372, 530, 518, 1002, 320, 16439, 3140, 269, 49407]
EMPTY_PROMPT = [49406, 49407]
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def prompt_tokens(codes: list[int]) -> Tensor:
    """(1, 77) int64, padded with zeros."""
    return torch.tensor([codes + [0] * (TEXT_TOKENS - len(codes))])


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        h = self.ln_1(x)
        x = x + self.attn(h, h, h, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class _Transformer(nn.Module):
    def __init__(self, width: int, layers: int, heads: int):
        super().__init__()
        self.resblocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])


class _Common(nn.Module):
    """What both towers of the checkpoint carry of the text side."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.width))
        self.text_projection = nn.Parameter(torch.empty(config.width, config.embed_dim))
        self.logit_scale = nn.Parameter(torch.empty(()))
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.ln_final = nn.LayerNorm(config.width)


class TextTower(nn.Module):
    """Tokens (N, 77) to context (N, 77, width): causal, the last block left out."""

    def __init__(self, config: TextConfig | None = None):
        super().__init__()
        config = config or TextConfig()
        self.model = _Common(config)
        self.model.transformer = _Transformer(config.width, config.layers, config.heads)

    def forward(self, tokens: Tensor) -> Tensor:
        model = self.model
        x = model.token_embedding(tokens) + model.positional_embedding
        mask = torch.full((x.shape[1], x.shape[1]), float("-inf"), dtype=x.dtype).triu(1)
        for block in model.transformer.resblocks[:-1]:
            x = block(x, mask)
        return model.ln_final(x)


class _Visual(nn.Module):
    def __init__(self, config: VisionConfig):
        super().__init__()
        cells = (config.image_size // config.patch_size) ** 2
        self.class_embedding = nn.Parameter(torch.empty(config.width))
        self.positional_embedding = nn.Parameter(torch.empty(cells + 1, config.width))
        self.proj = nn.Parameter(torch.empty(config.width, config.embed_dim))
        self.conv1 = nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size, bias=False)
        self.ln_pre = nn.LayerNorm(config.width)
        self.transformer = _Transformer(config.width, config.layers, config.width // config.head_width)
        self.ln_post = nn.LayerNorm(config.width)


class ImageTower(nn.Module):
    """Normalised pictures (N, 3, 224, 224) to all tokens (N, 257, width) after the transformer."""

    def __init__(self, config: VisionConfig | None = None, text: TextConfig | None = None):
        super().__init__()
        self.model = _Common(text or TextConfig())
        self.model.visual = _Visual(config or VisionConfig())

    def forward(self, pictures: Tensor) -> Tensor:
        visual = self.model.visual
        patches = visual.conv1(pictures).flatten(2).transpose(1, 2)
        first = visual.class_embedding.expand(len(patches), 1, -1)
        x = visual.ln_pre(torch.cat([first, patches], dim=1) + visual.positional_embedding)
        for block in visual.transformer.resblocks:
            x = block(x)
        return x


def preprocess(pictures: Tensor, size: int = 224) -> Tensor:
    """Pictures (N, 3, H, W) in -1..1 to (N, 3, size, size) with CLIP's mean and deviation.

    Bicubic with aligned corners; a picture that shrinks is blurred first, by half a pixel of deviation for each
    pixel that falls together beyond the first.
    """
    factors = [length / size for length in pictures.shape[-2:]]
    if max(factors) > 1:
        pictures = _blur(pictures, [max((factor - 1) / 2, 0.001) for factor in factors])
    pictures = F.interpolate(pictures, (size, size), mode="bicubic", align_corners=True)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
    return ((pictures + 1) / 2 - mean) / std


def _blur(pictures: Tensor, sigmas: list[float]) -> Tensor:
    channels = pictures.shape[1]
    for axis, sigma in enumerate(sigmas):
        length = int(max(4 * sigma, 3)) // 2 * 2 + 1
        offsets = torch.arange(length, dtype=pictures.dtype) - length // 2
        kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
        shape = (1, 1, length, 1) if axis == 0 else (1, 1, 1, length)
        half = length // 2
        pictures = F.pad(pictures, (0, 0, half, half) if axis == 0 else (half, half, 0, 0), mode="reflect")
        kernel = (kernel / kernel.sum()).view(shape).expand(channels, *[-1] * 3)
        pictures = F.conv2d(pictures, kernel, groups=channels)
    return pictures
