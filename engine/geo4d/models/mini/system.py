"""The whole network: latents from geometry, latents from noise and pictures, geometry from latents; its weights."""

import itertools
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ...errors import BadRequest
from .. import weight_file
from . import modalities
from .autoencoder import Autoencoder
from .config import DISPARITY_CHANNELS, POINT_CHANNELS, RAY_CHANNELS, STRIDE, VERSION, MiniConfig
from .denoiser import Denoiser
from .modalities import Maps

FORMAT = "geo4d-mini"
_SPLIT = (POINT_CHANNELS, DISPARITY_CHANNELS, RAY_CHANNELS)


class Mini(nn.Module):
    """Autoencoder and denoiser. Latents are whitened a channel by what :meth:`measure` found in training."""

    def __init__(self, config: MiniConfig | None = None):
        super().__init__()
        self.config = config or MiniConfig()
        self.autoencoder = Autoencoder(self.config)
        self.denoiser = Denoiser(self.config)
        self.register_buffer("latent_mean", torch.zeros(sum(_SPLIT)))
        self.register_buffer("latent_spread", torch.ones(sum(_SPLIT)))

    def encode(self, maps: Maps) -> Tensor:
        """Latents (B, T, 18, h, w)."""
        shape = maps.points.shape[:2]
        points = self.autoencoder.encode("points", maps.points.flatten(0, 1)).unflatten(0, shape)
        disparity = self.autoencoder.encode("disparity", maps.disparity.flatten(0, 1)).unflatten(0, shape)
        latent = torch.cat([points, disparity, maps.rays], dim=2)
        return (latent - self.latent_mean[:, None, None]) / self.latent_spread[:, None, None]

    def decode(self, latent: Tensor) -> Maps:
        latent = latent * self.latent_spread[:, None, None] + self.latent_mean[:, None, None]
        points, disparity, rays = latent.split(_SPLIT, dim=2)
        shape = latent.shape[:2]
        return Maps(
            self.autoencoder.decode("points", points.flatten(0, 1)).unflatten(0, shape),
            self.autoencoder.decode("disparity", disparity.flatten(0, 1)).unflatten(0, shape),
            rays,
        )

    def measure(self, latents: Tensor) -> None:
        """Take mean and spread of each channel from latents (B, T, 18, h, w) that were not whitened yet."""
        self.latent_mean.copy_(latents.mean((0, 1, 3, 4)))
        self.latent_spread.copy_(latents.std((0, 1, 3, 4)).clamp(min=1e-3))

    def sample(self, rgb: Tensor, steps: int = 1, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Clean latents (B, T, 18, h, w) and extra maps from pictures (B, T, 3, H, W) in 0..1.

        One step predicts them from no noise at all, as UniGeo and MotionCrafter do. More begin from ``noise``, of the
        latents' shape, and walk the straight line between it and the prediction, deterministically (DDIM on a
        rectified flow).
        """
        batch, frames, _, height, width = rgb.shape
        shape = (batch, frames, sum(_SPLIT), height // STRIDE, width // STRIDE)
        seen = self.denoiser.features(rgb)
        if steps == 1 or noise is None:
            noise = torch.zeros(shape, device=rgb.device, dtype=rgb.dtype)
        x = noise
        times = torch.linspace(1.0, 0.0, steps + 1, device=rgb.device, dtype=rgb.dtype)
        for now, after in itertools.pairwise(times):
            clean, extra = self.denoiser(x, seen, now.expand(batch))
            x = clean + (x - clean) * (after / now)
        return x, extra


def decoded(system: Mini, latent: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points (B, T, 3, H, W), disparity (B, T, 1, H, W), ray directions and moments (B, T, 3, h, w)."""
    maps = system.decode(latent)
    direction, moment = modalities.decode_rays(maps.rays)
    return modalities.decode_points(maps.points), modalities.decode_disparity(maps.disparity), direction, moment


def save(path: Path, system: Mini, about: dict[str, str]) -> dict:
    """Weights in half precision, whole or not at all; returns the manifest. Raises OutputError."""
    metadata = {"format": FORMAT, "version": str(VERSION), "config": system.config.to_json(), **about}
    return weight_file.write(path, system.state_dict(), metadata, torch.float16)


def load(path: Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Mini:
    """The network with weights of a file. Raises ModelMissing or BadRequest."""
    metadata = weight_file.read_metadata(path)
    if metadata.get("format") != FORMAT or metadata.get("version") != str(VERSION):
        found = f"{metadata.get('format', 'another format')} {metadata.get('version', '')}".strip()
        raise BadRequest(
            "checkpoint_version",
            f"{path} holds {found}, not {FORMAT} {VERSION}.",
            "Use the weights that come with this version of the program.",
        )
    system = Mini(MiniConfig.from_json(metadata["config"]))
    try:
        with safe_open(path, "pt", device="cpu") as file:
            system.load_state_dict({name: file.get_tensor(name) for name in file.keys()})
    except (RuntimeError, SafetensorError) as error:
        raise BadRequest(
            "weights_incomplete", f"The tensors of {path} are not those of mini: {error}.", "Get the file again."
        ) from error
    return system.to(device, dtype).eval().requires_grad_(False)
