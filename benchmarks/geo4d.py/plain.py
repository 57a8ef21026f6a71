"""Geo4D written out plainly, in the reference's order of work: what the engine's speed is measured against.

Float32 throughout; attention as two products with the whole matrix of weights between them; temporal convolutions in
three dimensions; frames coded one by one at full resolution; context towers, keys and values anew for every window and
step. Reads the weights of the engine's modules by their official names and shares no code with them but the sampler.
"""

import math

import torch
import torch.nn.functional as F
from geo4d.models.geo4d import clip
from geo4d.models.geo4d.config import FRAMES, IMAGE_TOKENS, SCALE_FACTOR, TEXT_TOKENS
from torch import Tensor

Weights = dict[str, Tensor]


def part(weights: Weights, prefix: str) -> Weights:
    """The weights under ``prefix``, without it."""
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """(N, L, heads * d) each."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = torch.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
    mixed = torch.einsum("bhij,bhjd->bhid", scores.softmax(dim=-1), v)
    return mixed.transpose(1, 2).flatten(2)


def linear(x: Tensor, w: Weights, name: str) -> Tensor:
    weight = w[f"{name}.weight"]
    return F.linear(x, weight.flatten(1), w.get(f"{name}.bias"))


def group_norm(x: Tensor, w: Weights, name: str, eps: float) -> Tensor:
    return F.group_norm(x, 32, w[f"{name}.weight"], w[f"{name}.bias"], eps)


def layer_norm(x: Tensor, w: Weights, name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])


def conv(x: Tensor, w: Weights, name: str, **options) -> Tensor:
    return F.conv2d(x.contiguous(), w[f"{name}.weight"].contiguous(), w[f"{name}.bias"], **options)


def transformer_block(x: Tensor, w: Weights, heads: int, context: Tensor | None) -> Tensor:
    h = layer_norm(x, w, "norm1")
    q, k, v = (linear(h, w, f"attn1.to_{name}") for name in "qkv")
    x = x + linear(attention(q, k, v, heads), w, "attn1.to_out.0")
    h = layer_norm(x, w, "norm2")
    source = h if context is None else context[:, :TEXT_TOKENS]
    q, k, v = linear(h, w, "attn2.to_q"), linear(source, w, "attn2.to_k"), linear(source, w, "attn2.to_v")
    mixed = attention(q, k, v, heads)
    if context is not None:
        image = context[:, TEXT_TOKENS:]
        mixed = mixed + attention(q, linear(image, w, "attn2.to_k_ip"), linear(image, w, "attn2.to_v_ip"), heads)
    x = x + linear(mixed, w, "attn2.to_out.0")
    value, gate = linear(layer_norm(x, w, "norm3"), w, "ff.net.0.proj").chunk(2, dim=-1)
    return x + linear(value * F.gelu(gate), w, "ff.net.2")


def spatial(x: Tensor, w: Weights, head_dim: int, context: Tensor) -> Tensor:
    tokens = group_norm(x, w, "norm", 1e-6).flatten(2).transpose(1, 2)
    tokens = linear(tokens, w, "proj_in")
    tokens = transformer_block(tokens, part(w, "transformer_blocks.0."), tokens.shape[-1] // head_dim, context)
    return x + linear(tokens, w, "proj_out").transpose(1, 2).unflatten(2, x.shape[-2:])


def temporal(x: Tensor, w: Weights, head_dim: int) -> Tensor:
    clip_ = x.unflatten(0, (-1, FRAMES)).transpose(1, 2)  # (B, C, T, h, w)
    tokens = group_norm(clip_, w, "norm", 1e-6).permute(0, 3, 4, 2, 1)
    shape = tokens.shape[:3]
    tokens = linear(tokens.flatten(0, 2), w, "proj_in")
    tokens = transformer_block(tokens, part(w, "transformer_blocks.0."), tokens.shape[-1] // head_dim, None)
    return x + linear(tokens, w, "proj_out").unflatten(0, shape).permute(0, 3, 4, 1, 2).flatten(0, 1)


def residual(x: Tensor, w: Weights, embedding: Tensor) -> Tensor:
    h = conv(F.silu(group_norm(x, w, "in_layers.0", 1e-5)), w, "in_layers.2", padding=1)
    h = h + linear(F.silu(embedding), w, "emb_layers.1")[:, :, None, None]
    h = conv(F.silu(group_norm(h, w, "out_layers.0", 1e-5)), w, "out_layers.3", padding=1)
    h = h + (conv(x, w, "skip_connection") if "skip_connection.weight" in w else x)
    frames = h.unflatten(0, (-1, FRAMES)).transpose(1, 2)
    out = frames
    for index in range(1, 5):
        name = f"temopral_conv.conv{index}."
        out = F.silu(group_norm(out, w, f"{name}0", 1e-5))
        last = f"{name}{2 if index == 1 else 3}"
        out = F.conv3d(out, w[f"{last}.weight"], w[f"{last}.bias"], padding=(1, 0, 0))
    return (frames + out).transpose(1, 2).flatten(0, 1)


def stage(h: Tensor, w: Weights, embedding: Tensor, context: Tensor, head_dim: int) -> Tensor:
    """The layers of one entry of the network's lists, told apart by what they store."""
    for index in sorted({int(key.partition(".")[0]) for key in w}):
        layer = part(w, f"{index}.")
        if "weight" in layer:
            h = conv(h, w, str(index), padding=1)
        elif "op.weight" in layer:
            h = conv(h, layer, "op", padding=1, stride=2)
        elif "conv.weight" in layer:
            h = conv(F.interpolate(h, scale_factor=2.0), layer, "conv", padding=1)
        elif "emb_layers.1.weight" in layer:
            h = residual(h, layer, embedding)
        elif "transformer_blocks.0.attn2.to_k_ip.weight" in layer:
            h = spatial(h, layer, head_dim, context)
        else:
            h = temporal(h, layer, head_dim)
    return h


def velocity(x: Tensor, w: Weights, time: int, fs: int, context: Tensor, width: int, head_dim: int) -> Tensor:
    """One pass of the network: x (1, 20, T, h, w) and context (1, 77 + 256, C) to (1, 16, T, h, w)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half) / half)
    embedding = 0.0
    for value, name in ((time, "time_embed"), (fs, "fps_embedding")):
        angles = value * frequencies
        sines = torch.cat([angles.cos(), angles.sin()])[None]
        embedding = embedding + linear(F.silu(linear(sines, w, f"{name}.0")), w, f"{name}.2")
    embedding = embedding.repeat_interleave(FRAMES, dim=0)
    text = context[:, :TEXT_TOKENS].expand(FRAMES, -1, -1)
    context = torch.cat([text, context[0, TEXT_TOKENS:].unflatten(0, (FRAMES, IMAGE_TOKENS))], dim=1)
    h, skips = x[0].transpose(0, 1), []
    inputs = 1 + max(int(key.split(".")[1]) for key in w if key.startswith("input_blocks."))
    for index in range(inputs):
        h = stage(h, part(w, f"input_blocks.{index}."), embedding, context, head_dim)
        if index == 0:
            h = stage(h, part(w, "init_attn."), embedding, context, head_dim)
        skips.append(h)
    h = stage(h, part(w, "middle_block."), embedding, context, head_dim)
    for index in range(inputs):
        h = torch.cat([h, skips.pop()], dim=1)
        h = stage(h, part(w, f"output_blocks.{index}."), embedding, context, head_dim)
    h = conv(F.silu(group_norm(h, w, "out.0", 1e-5)), w, "out.2", padding=1)
    return h.transpose(0, 1)[None]


def vae_block(x: Tensor, w: Weights) -> Tensor:
    h = conv(F.silu(group_norm(x, w, "norm1", 1e-6)), w, "conv1", padding=1)
    h = conv(F.silu(group_norm(h, w, "norm2", 1e-6)), w, "conv2", padding=1)
    return h + (conv(x, w, "nin_shortcut") if "nin_shortcut.weight" in w else x)


def vae_middle(x: Tensor, w: Weights) -> Tensor:
    x = vae_block(x, part(w, "block_1."))
    h = group_norm(x, w, "attn_1.norm", 1e-6)
    q, k, v = (conv(h, w, f"attn_1.{name}").flatten(2).transpose(1, 2) for name in "qkv")
    mixed = attention(q, k, v, 1).transpose(1, 2).unflatten(2, x.shape[-2:])
    return vae_block(x + conv(mixed, w, "attn_1.proj_out"), part(w, "block_2."))


def vae_level(h: Tensor, w: Weights) -> Tensor:
    for index in range(len({key.split(".")[1] for key in w if key.startswith("block.")})):
        h = vae_block(h, part(w, f"block.{index}."))
    if "downsample.conv.weight" in w:
        h = conv(F.pad(h, (0, 1, 0, 1)), w, "downsample.conv", stride=2)
    if "upsample.conv.weight" in w:
        h = conv(F.interpolate(h, scale_factor=2.0), w, "upsample.conv", padding=1)
    return h


def head(h: Tensor, w: Weights) -> Tensor:
    return conv(F.silu(group_norm(h, w, "norm_out", 1e-6)), w, "conv_out", padding=1)


def encode(picture: Tensor, w: Weights) -> Tensor:
    """One frame (1, 3, H, W) to mean and log-variance."""
    inner = part(w, "encoder.")
    h = conv(picture, inner, "conv_in", padding=1)
    for index in range(4):
        h = vae_level(h, part(inner, f"down.{index}."))
    return conv(head(vae_middle(h, part(inner, "mid.")), inner), w, "quant_conv")


def decode(latent: Tensor, w: Weights, confidence: bool = False) -> Tensor:
    """One scaled latent (1, 4, h, w) to (1, 3, H, W); with ``confidence`` a fourth channel."""
    inner = part(w, "decoder.")
    h = conv(conv(latent / SCALE_FACTOR, w, "post_quant_conv"), inner, "conv_in", padding=1)
    h = vae_middle(h, part(inner, "mid."))
    for index in (3, 2, 1, 0):
        h = vae_level(h, part(inner, f"up.{index}."))
    if not confidence:
        return head(h, inner)
    branch = part(w, "decoder_adaptor.")
    return torch.cat([head(h, inner), head(vae_level(h, part(branch, "up.0.")), branch)], dim=1)


def context(towers: tuple) -> Tensor:
    """Prompt and empty picture through text tower, image tower and resampler: (1, 77 + 256, C)."""
    text, image, resampler = towers
    tokens = image(clip.preprocess(torch.zeros(1, 3, 224, 224)))
    return torch.cat([text(clip.prompt_tokens(clip.PROMPT)), resampler(tokens)], dim=1)
