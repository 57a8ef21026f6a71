"""Geo4D on a shot: windows in, Predictions out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import GeoError
from ...progress import Progress, Silent
from ...windows import cut_windows
from ..prediction import Prediction
from . import memory, modalities
from .config import FRAMES, LATENT_CHANNELS, LATENT_STRIDE
from .sampler import guided, sample
from .schedule import trailing_steps
from .settings import Settings
from .system import System
from .vae import latent_mean, latent_sample

STAGE = "geo4d"
_MULTIPLE = 64  # the network halves latents three times

# Reads frames by position: uint8 (N, H, W, 3) RGB at the working size.
ReadFrames = Callable[[Sequence[int]], np.ndarray]


@dataclass
class Noise:
    """All random numbers of one window."""

    latent: Tensor  # (1, 16, T, h, w): where denoising begins
    steps: list[Tensor]  # the same shape, one a step; may be empty where eta is 0
    posterior: Tensor | None  # (T, 4, h, w) where the latents of frames are drawn


class Inference:
    """One run over a shot of ``frame_count`` frames at ``size`` = (w, h), multiples of 64.

    ``fs`` is the frame rate of what is shown to the network, in whole frames a second. Finished windows can be left
    out by their number, so that a run continues where it stopped: noise depends on positions and seed alone (in
    exact mode on all windows before, which are then drawn and thrown away).
    """

    def __init__(
        self,
        system: System,
        read: ReadFrames,
        frame_count: int,
        size: tuple[int, int],
        fs: int = 24,
        settings: Settings | None = None,
        progress: Progress | None = None,
    ):
        if size[0] % _MULTIPLE or size[1] % _MULTIPLE or min(size) < _MULTIPLE:
            raise ValueError(f"size must be multiples of {_MULTIPLE}, got {size[0]} x {size[1]}")
        self.system, self.read, self.size, self.fs = system, read, size, fs
        self.settings, self.progress = settings or Settings(), progress or Silent()
        self.windows = cut_windows(frame_count, FRAMES, self.settings.stride, self.settings.repeat_last)
        self.steps = trailing_steps(self.settings.steps)
        self._moments: dict[int, Tensor] = {}
        self._draw = torch.Generator().manual_seed(self.settings.seed)
        itemsize = torch.finfo(system.dtype).bits // 8
        configs = system.unet.config, system.image_vae.config
        rows = 2 if self.settings.guidance.scale != 1.0 else 1
        free = memory.free_bytes(system.device)
        self.plan = memory.plan(*configs, size[1], size[0], FRAMES * rows, itemsize, free)
        self._at_once = min(self.plan.frames_at_once, FRAMES)

    def run(self, finished: frozenset[int] = frozenset()) -> Iterator[tuple[int, Prediction]]:
        """(number, Prediction) of every window not in ``finished``."""
        for number, positions in enumerate(self.windows):
            noise = self._noise(positions)
            if number in finished:
                continue
            yield number, self.predict(number, positions, noise)
            ahead = self.windows[number + 1] if number + 1 < len(self.windows) else ()
            self._moments = {p: m for p, m in self._moments.items() if p in ahead}

    @torch.inference_mode()
    def predict(self, number: int, positions: np.ndarray, noise: Noise) -> Prediction:
        """One window of the run."""
        settings, system, count = self.settings, self.system, self.settings.steps
        total = len(self.windows) * (count + 2)
        done = number * (count + 2)
        self.progress.advance(STAGE, done, total)
        condition = self._condition(positions, noise.posterior)
        guide = settings.guidance.scale != 1.0
        walked = 0

        def velocity(x: Tensor, time: int) -> Tensor:
            nonlocal walked
            walked += 1
            self.progress.advance(STAGE, done + walked, total)
            v = system.velocity(x, condition, time, self.fs, guide)
            return guided(*v.chunk(2), settings.guidance) if guide else v

        try:
            start = noise.latent.to(system.device)
            latent = sample(velocity, start, self.steps, settings.eta, noise.steps, settings.clean_scale)
        except torch.OutOfMemoryError as error:
            free = memory.free_bytes(system.device)
            raise memory.too_little(self.plan.needed_bytes, free, *self.size) from error
        self._check(latent, number)
        self.progress.advance(STAGE, done + count + 1, total)
        return self._decode(latent[0].transpose(0, 1), positions, number)

    def _noise(self, positions: np.ndarray) -> Noise:
        width, height = (length // LATENT_STRIDE for length in self.size)
        settings, posterior = self.settings, None
        if settings.posterior == "sample":
            one = (1, LATENT_CHANNELS, height, width)
            posterior = torch.cat([torch.randn(one, generator=self._draw) for _ in positions])
        shape = (4 * LATENT_CHANNELS, height, width)
        count = 1 + (settings.steps if settings.eta or not settings.shared_noise else 0)
        if settings.shared_noise:
            draws = [self._frame_noise(positions, shape, step) for step in range(count)]
        else:  # the reference draws a step's noise also where it then uses none
            whole = (1, shape[0], len(positions), *shape[1:])
            draws = [torch.randn(whole, generator=self._draw) for _ in range(count)]
        return Noise(draws[0], draws[1:], posterior)

    def _frame_noise(self, positions: np.ndarray, shape: tuple[int, ...], step: int) -> Tensor:
        draws = (np.random.default_rng([self.settings.seed, int(position), step]) for position in positions)
        frames = [torch.from_numpy(draw.standard_normal(shape, dtype=np.float32)) for draw in draws]
        return torch.stack(frames, dim=1)[None]

    def _condition(self, positions: np.ndarray, posterior_noise: Tensor | None) -> Tensor:
        """Latents of the frames, (1, 4, T, h, w) float32; each frame is encoded once for all its windows."""
        missing = sorted({int(p) for p in positions} - self._moments.keys())
        for begin in range(0, len(missing), self._at_once):
            chosen = missing[begin : begin + self._at_once]
            pictures = torch.from_numpy(self.read(chosen)).permute(0, 3, 1, 2)
            pictures = (pictures.to(self.system.device).float() / 127.5 - 1.0).to(self.system.dtype)
            moments = self._in_batches(lambda x: (self.system.image_vae.moments(x),), pictures)[0]
            self._moments |= dict(zip(chosen, moments, strict=True))
        moments = torch.stack([self._moments[int(p)] for p in positions])
        latents = latent_mean(moments) if posterior_noise is None else latent_sample(moments, posterior_noise)
        return latents.transpose(0, 1)[None].to(self.system.device)

    def _decode(self, latents: Tensor, positions: np.ndarray, number: int) -> Prediction:
        """Maps from latents (T, 16, h, w): points, ray directions, ray moments, disparity."""
        system = self.system
        positions, first = np.unique(positions, return_index=True)
        point, direction, moment, disparity = latents[first.tolist()].to(system.dtype).split(LATENT_CHANNELS, dim=1)
        coordinates, uncertainty = self._in_batches(system.point_vae.decode_with_confidence, point)
        if self.settings.ray_stride > 1:
            direction, moment = (F.avg_pool2d(x, self.settings.ray_stride) for x in (direction, moment))

        def pictures(x: Tensor) -> tuple[Tensor]:
            return (system.image_vae.decode(x),)

        decoded = [self._in_batches(pictures, x)[0] for x in (direction, moment, disparity)]
        for values in (coordinates, uncertainty, *decoded):
            self._check(values, number)
        maps = [values.permute(0, 2, 3, 1).numpy() for values in (coordinates, uncertainty, *decoded)]
        points, weight = modalities.decode_points(maps[0], maps[1], self.settings.sky_tolerance)
        return Prediction(
            positions=positions,
            width=self.size[0],
            height=self.size[1],
            points=points,
            points_weight=weight[..., 0],
            points_z_offset=True,
            ray_direction=modalities.decode_directions(maps[2]),
            ray_moment=maps[3],
            disparity=modalities.decode_disparity(maps[4])[..., 0],
        )

    def _in_batches(self, compute: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor) -> tuple[Tensor, ...]:
        """``compute`` on a few rows of ``x`` at a time, results in float32 on the CPU; fewer rows where memory ends."""
        while True:
            try:
                parts = [
                    [out.float().cpu() for out in compute(part.contiguous(memory_format=torch.channels_last))]
                    for part in x.split(self._at_once)
                ]
                return tuple(torch.cat(column) for column in zip(*parts, strict=True))
            except torch.OutOfMemoryError as error:
                if self._at_once == 1:
                    free = memory.free_bytes(self.system.device)
                    raise memory.too_little(self.plan.needed_bytes, free, *self.size) from error
            self._at_once = (self._at_once + 1) // 2
            torch.cuda.empty_cache()

    def _check(self, values: Tensor, number: int) -> None:
        if not torch.isfinite(values).all():
            raise GeoError(
                "model_not_finite",
                f"Geo4D returned values that are not numbers in window {number + 1} of {len(self.windows)}.",
                "Use float32, and check the weights with geo4d models verify geo4d.",
            )
