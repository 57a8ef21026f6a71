"""Second part: the denoiser, on latents of the finished autoencoder."""

from dataclasses import asdict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.mini import modalities
from ...models.mini.config import FRAMES, RAY_CHANNELS, STRIDE, VERSION
from ...models.mini.system import Mini
from ...models.working_size import closest_size
from ..window_clips import Store, Windows
from .autoencoding import SKY_WEIGHT, true_maps

ONE_STEP_SHARE = 0.7  # of the windows that see no noise at all; the others a random share of it
SMALL_PIXELS, SMALL_FRAMES = 96 * 64, 6  # such a batch costs a quarter
_POINT_LOSS, _RAY_LOSS, _MOTION_LOSS = 1.0, 1.0, 0.1


class Denoising:
    """A :class:`~geo4d.training.loop.Task`: clean latents from noisy ones and the pictures, judged also as decoded."""

    name = "mini's denoiser"
    version = VERSION

    def __init__(self, store: Store, system: Mini, device: str, batch: int = 4, small_share: float = 0.0):
        self.store, self.system, self.device, self.batch = store, system.to(device), device, batch
        self.small_share = small_share
        self.config = asdict(system.config)

    def network(self) -> nn.Module:
        network = Mini(self.system.config)
        network.load_state_dict(self.system.state_dict())
        network.autoencoder.requires_grad_(False)
        return network

    def refresh(self) -> None:
        self.store.refresh()

    def loss(self, network: Mini, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        small = rng.random() < self.small_share
        windows = self.store.batch(rng, self.batch, SMALL_FRAMES if small else FRAMES).to(self.device)
        if small:
            height, width = windows.depth.shape[2:]
            windows = resized(windows, closest_size(width, height, SMALL_PIXELS, STRIDE))
        maps = true_maps(windows)
        with torch.no_grad():
            clean = network.encode(maps)
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 31)))
        time = torch.rand(len(clean), generator=generator).clamp(min=0.02)
        blind = torch.rand(len(clean), generator=generator) < ONE_STEP_SHARE
        time = torch.where(blind, 1.0, time).to(self.device)
        noise = torch.randn(clean.shape, generator=generator) * (~blind)[:, None, None, None, None]
        share = time[:, None, None, None, None]
        noisy = clean * (1 - share) + noise.to(self.device) * share
        found, extra = network.denoiser(noisy, network.denoiser.features(windows.rgb), time)
        return self._judge(network, found, extra, clean, maps, windows, rng)

    def _judge(self, network, found, extra, clean, maps, windows, rng) -> tuple[Tensor, dict[str, float]]:
        sky = windows.sky.float()
        seen = 1 - (1 - SKY_WEIGHT) * F.avg_pool2d(sky, STRIDE)[:, :, None]
        latent = (F.smooth_l1_loss(found, clean, beta=0.1, reduction="none") * seen).mean()
        rays = F.l1_loss(found[:, :, -RAY_CHANNELS:], clean[:, :, -RAY_CHANNELS:])
        pick = rng.permutation(found.shape[1])[:2].tolist()
        coded = network.decode(found[:, pick]).points
        miss = ((coded - maps.points[:, pick]).abs().sum(2) * (1 - (1 - SKY_WEIGHT) * sky[:, pick])).float()
        cell = F.avg_pool2d(miss, STRIDE)
        spread = extra[:, pick, 0].float().clamp(-6, 3)
        # Laplace likelihood: the expected error is learned from the error, which itself is not weakened by it.
        expected = (cell.detach() * torch.exp(-spread) + spread).mean()
        points = miss.mean()
        moving = F.avg_pool2d(windows.moving.float(), STRIDE)
        motion = F.binary_cross_entropy_with_logits(extra[:, :, 1].float(), moving)
        total = latent + _RAY_LOSS * rays + _POINT_LOSS * points + 0.1 * expected + _MOTION_LOSS * motion
        names = ("latent", "rays", "points", "expected", "motion")
        return total, dict(
            zip(names, (float(v.detach()) for v in (latent, rays, points, expected, motion)), strict=True)
        )


def resized(windows: Windows, size: tuple[int, int]) -> Windows:
    """The same windows at ``size`` = (w, h), by area."""
    height, width = windows.depth.shape[2:]
    scale = torch.tensor([size[0] / width, size[1] / height, 1.0], device=windows.K.device)

    def picked(x: Tensor) -> Tensor:  # geometry must not be mixed across edges
        return F.interpolate(x.float().flatten(0, 1)[:, None], size[::-1], mode="nearest-exact")[:, 0].unflatten(
            0, x.shape[:2]
        )

    rgb = F.interpolate(windows.rgb.flatten(0, 1), size[::-1], mode="area").unflatten(0, windows.rgb.shape[:2])
    moving, sky = picked(windows.moving) > 0.5, picked(windows.sky) > 0.5
    return Windows(rgb, picked(windows.depth), windows.c2w, windows.K * scale[:, None], moving, sky)


@torch.no_grad()
def whiten(system: Mini, store: Store, device: str, batches: int = 20) -> None:
    """Measure the spread of latents, once, between the two parts."""
    system.to(device)
    rng = np.random.default_rng(0)
    system.latent_mean.zero_()
    system.latent_spread.fill_(1.0)
    latents = [system.encode(true_maps(store.batch(rng, 4, 2).to(device))) for _ in range(batches)]
    system.measure(torch.cat(latents))


@torch.no_grad()
def figures(system: Mini, store: Store, device: str, frames: int = FRAMES) -> dict[str, float]:
    """Mean error on the validation clips: depth after one scale a clip, its delta, the constant's, rays in degrees."""
    system = system.to(device).eval()
    sums: dict[str, list[float]] = {}
    for windows in store.held_out(frames):
        windows = windows.to(device)
        latent, _ = system.sample(windows.rgb)
        maps = system.decode(latent)
        world = modalities.decode_points(maps.points)
        inverse = torch.linalg.inv(windows.c2w)
        z = torch.einsum("btj,btjhw->bthw", inverse[:, :, 2, :3], world)
        near = ~windows.sky
        true = windows.depth[near]
        unit = windows.points().norm(dim=2)[near].mean()  # true moment of the axes' origin, in the network's unit
        z = z + (inverse[:, :, 2, 3] / unit)[..., None, None]
        found = z[near].clamp(min=1e-3)
        direction, _ = modalities.decode_rays(maps.rays)
        wanted, _ = modalities.decode_rays(true_maps(windows).rays)
        angle = torch.rad2deg(torch.acos((direction * wanted).sum(2).clamp(-1, 1)))
        ratio = found * (true / found).median() / true
        constant = true.median() / true
        line = {
            "abs_rel": (ratio - 1).abs().mean(),
            "delta": (torch.maximum(ratio, 1 / ratio) < 1.25).float().mean(),
            "constant_abs_rel": (constant - 1).abs().mean(),
            "ray_degrees": angle.median(),
        }
        for name, value in line.items():
            sums.setdefault(name, []).append(float(value))
    return {name: round(float(np.mean(values)), 4) for name, values in sums.items()}
