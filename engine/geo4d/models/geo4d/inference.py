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
from .. import device
from ..prediction import Prediction
from ..windowed import STAGE
from . import memory, modalities
from .config import FRAMES, LATENT_CHANNELS, LATENT_STRIDE
from .layout import Sizes
from .memory import Demand, Plan
from .sampler import guided, sample
from .schedule import trailing_steps
from .settings import SIZE_MULTIPLE, Settings
from .system import System
from .vae import latent_mean, latent_sample

NOT_FINITE = "model_not_finite"

# Reads frames by position: uint8 (N, H, W, 3) RGB at the working size.
ReadFrames = Callable[[Sequence[int]], np.ndarray]


@dataclass
class Noise:
    """All random numbers of one window."""

    latent: Tensor  # (1, 16, T, h, w): where denoising begins
    steps: list[Tensor]  # the same shape, one a step; may be empty where eta is 0
    posterior: Tensor | None  # (T, 4, h, w) where the latents of frames are drawn


@dataclass
class Window:
    """One window of the run, ready to be denoised."""

    number: int
    positions: np.ndarray  # (T,)
    noise: Noise


def demand(sizes: Sizes, size: tuple[int, int], dtype: torch.dtype, settings: Settings) -> Demand:
    """What a run with these settings asks of memory."""
    return Demand(sizes, *size, dtype.itemsize, settings.guidance.scale != 1.0)


class Inference:
    """One run over a shot of ``frame_count`` frames at ``size`` = (w, h), multiples of 64.

    ``fs`` is the frame rate of what is shown to the network, in whole frames a second. ``plan`` says how the work is
    cut up, by default as one window and one frame at a time; where memory ends all the same it is cut smaller.
    Finished windows can be left out by their number, so that a run continues where it stopped: noise depends on
    positions and seed alone (in exact mode on all windows before, which are then drawn and thrown away).
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
        plan: Plan | None = None,
    ):
        if size[0] % SIZE_MULTIPLE or size[1] % SIZE_MULTIPLE or min(size) < SIZE_MULTIPLE:
            raise ValueError(f"size must be multiples of {SIZE_MULTIPLE}, got {size[0]} x {size[1]}")
        self.system, self.read, self.size, self.fs = system, read, size, fs
        self.settings, self.progress = settings or Settings(), progress or Silent()
        self.windows = cut_windows(frame_count, FRAMES, self.settings.stride, self.settings.repeat_last)
        self.steps = trailing_steps(self.settings.steps)
        self.plan = plan or Plan(demand(system.sizes, size, system.dtype, self.settings), 1, 1)
        self._moments: dict[int, Tensor] = {}
        self._draw = torch.Generator().manual_seed(self.settings.seed)

    def run(self, finished: frozenset[int] = frozenset()) -> Iterator[tuple[int, Prediction]]:
        """(number, Prediction) of every window not in ``finished``, in order."""
        waiting: list[Window] = []
        missing = len(self.windows) - len(finished)
        for number, positions in enumerate(self.windows):
            noise = self._noise(positions)
            if number in finished:
                continue
            waiting.append(Window(number, positions, noise))
            missing -= 1
            while waiting and (len(waiting) >= self.plan.windows_at_once or not missing):
                now, waiting = waiting[: self.plan.windows_at_once], waiting[self.plan.windows_at_once :]
                latents = self._in_range(lambda now=now: self._denoise(now))
                for window, latent in zip(now, latents, strict=True):
                    yield window.number, self._in_range(lambda w=window, x=latent: self._decode(x.transpose(0, 1), w))
            first = min((int(p) for w in waiting for p in w.positions), default=int(positions[0]))
            self._moments = {p: m for p, m in self._moments.items() if p >= first}

    def _in_range(self, compute: Callable):
        """What ``compute`` returns; where float16 overflows, once more and from then on in bfloat16.

        That has the range of float32 in the same memory, so that the plan stays as it is.
        """
        try:
            return compute()
        except GeoError as error:
            if error.code != NOT_FINITE or self.system.dtype != torch.float16:
                raise
        self.progress.log("float16 overflowed; going on in bfloat16, which is less exact")
        self._moments.clear()
        self.system.to(self.system.device, torch.bfloat16)
        return compute()

    @torch.inference_mode()
    def _denoise(self, windows: list[Window]) -> Tensor:
        """Clean latents (B, 16, T, h, w) of some windows; fewer at a time where memory ends."""
        settings, system, count = self.settings, self.system, self.settings.steps
        total = len(self.windows) * (count + 2)
        done = windows[0].number * (count + 2)
        self.progress.advance(STAGE, done, total)
        condition = torch.cat([self._condition(w.positions, w.noise.posterior) for w in windows])
        guide = settings.guidance.scale != 1.0
        walked = 0

        def velocity(x: Tensor, time: int) -> Tensor:
            nonlocal walked
            walked += 1
            self.progress.advance(STAGE, done + walked * len(windows), total)
            v = system.velocity(x, condition, time, self.fs, guide, self.plan.guidance_apart)
            return guided(*v.chunk(2), settings.guidance) if guide else v

        def attempt() -> Tensor:
            nonlocal walked
            walked = 0
            start = torch.cat([w.noise.latent for w in windows]).to(system.device)
            steps = [torch.cat(draws) for draws in zip(*(w.noise.steps for w in windows), strict=True)]
            return sample(velocity, start, self.steps, settings.eta, steps, settings.clean_scale)

        latents = self._or_smaller(attempt, Plan.smaller_network, lambda: len(windows) > self.plan.windows_at_once)
        if latents is None:  # now in smaller groups, whose own denoising cuts on
            half = self.plan.windows_at_once
            return torch.cat([self._denoise(windows[i : i + half]) for i in range(0, len(windows), half)])
        for window, latent in zip(windows, latents, strict=True):
            self._check(latent, window.number)
        return latents

    def _or_smaller(self, attempt: Callable, smaller: Callable[[Plan], Plan | None], too_many: Callable[[], bool]):
        """What ``attempt`` returns; where memory ends the plan is cut until it fits, None once ``too_many`` holds."""

        def shrink() -> bool:
            cut = smaller(self.plan)
            if cut is None:
                free = device.free_bytes(self.system.device)
                raise memory.too_little(self.plan.demand, free, tried=True)
            self.plan = cut
            if self.plan.streamed:
                self.system.stream()
            self.progress.log(f"out of memory; going on with {self.plan}")
            return not too_many()

        return device.until_it_fits(attempt, shrink, self.system.device)

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
        for begin in range(0, len(missing), FRAMES):
            chosen = missing[begin : begin + FRAMES]
            pictures = torch.from_numpy(self.read(chosen)).permute(0, 3, 1, 2)
            pictures = (pictures.to(self.system.device).float() / 127.5 - 1.0).to(self.system.dtype)
            moments = self._in_batches(lambda x: (self.system.image_vae.moments(x),), pictures)[0]
            self._moments |= dict(zip(chosen, moments, strict=True))
        moments = torch.stack([self._moments[int(p)] for p in positions])
        latents = latent_mean(moments) if posterior_noise is None else latent_sample(moments, posterior_noise)
        return latents.transpose(0, 1)[None].to(self.system.device)

    @torch.inference_mode()
    def _decode(self, latents: Tensor, window: Window) -> Prediction:
        """Maps from latents (T, 16, h, w): points, ray directions, ray moments, disparity."""
        system, number = self.system, window.number
        total = len(self.windows) * (self.settings.steps + 2)
        self.progress.advance(STAGE, (number + 1) * (self.settings.steps + 2) - 1, total)
        positions, first = np.unique(window.positions, return_index=True)
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

        def attempt() -> tuple[Tensor, ...]:
            parts = [
                [out.float().cpu() for out in compute(part.contiguous(memory_format=torch.channels_last))]
                for part in x.split(self.plan.frames_at_once)
            ]
            return tuple(torch.cat(column) for column in zip(*parts, strict=True))

        return self._or_smaller(attempt, Plan.smaller_coding, lambda: False)

    def _check(self, values: Tensor, number: int) -> None:
        if not torch.isfinite(values).all():
            raise GeoError(
                NOT_FINITE,
                f"Geo4D returned values that are not numbers in window {number + 1} of {len(self.windows)}.",
                "Use float32 (--precision float32), and check the weights with geo4d models verify geo4d.",
            )
