"""Deterministic (DDIM) sampling with velocity prediction and per-step latent rescale.

Source: Song et al., "Denoising Diffusion Implicit Models"; Salimans and Ho for the velocity.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .schedule import Steps


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance: how far to leave the empty prompt's velocity, how much of the contrast to undo."""

    scale: float = 1.0
    rescale: float = 0.7


@dataclass
class StepResult:
    """One step, for whoever watches the trajectory."""

    timestep: int
    velocity: Tensor
    clean: Tensor  # estimate of the clean latent, at the scale of the next step
    latent: Tensor


def sample(
    velocity: Callable[[Tensor, int], Tensor],
    noise: Tensor,
    steps: Steps,
    eta: float = 0.0,
    step_noise: Callable[[int], Tensor] | Sequence[Tensor] | None = None,
    clean_scale: bool = True,
    watch: Callable[[StepResult], None] | None = None,
) -> Tensor:
    """Latents (B, 16, T, h, w) from standard normal ``noise`` of that shape.

    Parameters
    ----------
    velocity : (latent, time step) to velocity, both of the shape of ``noise``.
    eta : 0 is deterministic, 1 adds as much noise after each step as the training process has.
    step_noise : noise of step 0, 1, ... in walking order; needed where eta > 0.
    clean_scale : return the estimate of the clean latent, brought back to the scale of latents. False returns
        what the reference does: the latent one noise level above clean, times the scale of the last step walked,
        which is 0.85 at 5 steps, 0.985 at 50.
    """
    if eta and step_noise is None:
        raise ValueError(f"eta is {eta}, so step_noise is needed")
    sigmas, x = steps.sigmas(eta), noise.float()
    count = len(steps.timesteps)
    for walked, i in enumerate(reversed(range(count))):
        alpha, before, sigma = float(steps.alphas[i]), float(steps.alphas_prev[i]), float(sigmas[i])
        time = int(steps.timesteps[i])
        v = velocity(x, time).float()
        clean = alpha**0.5 * x - (1.0 - alpha) ** 0.5 * v
        residual = alpha**0.5 * v + (1.0 - alpha) ** 0.5 * x
        if clean_scale and i == 0:
            x = clean / float(steps.scales[0])
            if watch is not None:
                watch(StepResult(time, v, clean, x))
            break
        clean = clean * float(steps.scales_prev[i] / steps.scales[i])
        x = before**0.5 * clean + _rest(before, sigma) * residual
        if sigma:
            fresh = step_noise(walked) if callable(step_noise) else step_noise[walked]
            x = x + sigma * fresh.to(x)
        if watch is not None:
            watch(StepResult(time, v, clean, x))
    return x


def _rest(before: float, sigma: float) -> float:
    """Share of the old noise that stays, in float32 as the reference computes it; never below 0."""
    rest = np.float32(1.0) - np.float32(before) - np.float32(sigma) * np.float32(sigma)
    return float(np.sqrt(max(rest, np.float32(0.0))))


def guided(conditional: Tensor, unconditional: Tensor, guidance: Guidance) -> Tensor:
    """Velocity pushed away from the unconditional one, its contrast partly brought back to the conditional one's."""
    v = unconditional + guidance.scale * (conditional - unconditional)
    if not guidance.rescale:
        return v
    axes = tuple(range(1, v.ndim))
    contrast = conditional.std(dim=axes, keepdim=True) / v.std(dim=axes, keepdim=True)
    return torch.lerp(v, v * contrast, guidance.rescale)
