"""Geo4D with every kind of block but few channels, and a checkpoint of it with the official key layout."""

import torch
from geo4d.models.geo4d import layout
from geo4d.models.geo4d.clip import ImageTower, TextTower
from geo4d.models.geo4d.config import ResamplerConfig, TextConfig, UNetConfig, VAEConfig, VisionConfig
from geo4d.models.geo4d.layout import Sizes
from geo4d.models.geo4d.parity import made_weights
from geo4d.models.geo4d.resampler import Resampler
from geo4d.models.geo4d.schedule import checkpoint_buffers
from geo4d.models.geo4d.system import Contexts, System
from geo4d.models.geo4d.unet import UNet
from geo4d.models.geo4d.vae import VAE

SIZES = Sizes(
    unet=UNetConfig(
        model_channels=32,
        channel_mult=(1, 2),
        num_res_blocks=1,
        attention_resolutions=(1,),
        num_head_channels=16,
        context_dim=32,
    ),
    vae=VAEConfig(ch=32, ch_mult=(1, 1, 1, 1), num_res_blocks=1),
    text=TextConfig(width=32, layers=2, heads=2, embed_dim=16),
    vision=VisionConfig(width=40, layers=1, head_width=20, embed_dim=16),
    resampler=ResamplerConfig(dim=32, depth=1, dim_head=16, heads=2, embedding_dim=40, output_dim=32),
    pixels=128 * 64,
)


def main_state(sizes: Sizes = SIZES) -> dict[str, torch.Tensor]:
    """The main checkpoint's tensors, float32, made from seeds."""
    state = {name: torch.from_numpy(values) for name, values in checkpoint_buffers().items()}
    parts = (
        (layout.UNET, UNet(sizes.unet)),
        (layout.IMAGE_VAE, VAE(sizes.vae)),
        (layout.TEXT, TextTower(sizes.text)),
        (layout.IMAGE, ImageTower(sizes.vision, sizes.text)),
        (layout.RESAMPLER, Resampler(sizes.resampler)),
    )
    for seed, (prefix, module) in enumerate(parts):
        state |= {prefix + name: tensor for name, tensor in made_weights(module, seed).items()}
    return state


def vae_state(sizes: Sizes = SIZES) -> dict[str, torch.Tensor]:
    """The point-map VAE's checkpoint, its keys under "model." as released."""
    return {f"model.{name}": tensor for name, tensor in made_weights(VAE(sizes.vae), 9).items()}


def save_checkpoints(folder, sizes: Sizes = SIZES):
    """Paths of model.ckpt and vae.ckpt."""
    main, vae = folder / "model.ckpt", folder / "vae.ckpt"
    torch.save({"state_dict": main_state(sizes)}, main)
    torch.save({"state_dict": vae_state(sizes)}, vae)
    return main, vae


def small_system() -> System:
    """All networks with weights from seeds, on the CPU in float32."""
    parts = [UNet(SIZES.unet), VAE(SIZES.vae, ("encoder", "decoder")), VAE(SIZES.vae, ("decoder", "decoder_adaptor"))]
    for seed, part in enumerate(parts):
        part.load_state_dict(made_weights(part, seed))
    draw = torch.Generator().manual_seed(5)
    contexts = Contexts(*(torch.randn(1, n, 32, generator=draw) for n in (77, 77, 256)))
    return System(*parts, contexts).to("cpu", torch.float32)
