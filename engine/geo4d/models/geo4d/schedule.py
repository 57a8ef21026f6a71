"""Noise schedule with zero terminal signal-to-noise ratio, and the subset of steps that sampling walks.

Source: Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed" (zero terminal SNR, trailing
steps); the latent rescale follows DynamiCrafter's dynamic rescaling.
"""

from dataclasses import dataclass

import numpy as np

TRAIN_STEPS = 1000
_BETA_FIRST, _BETA_LAST = 0.00085, 0.012
_RESCALE_STEPS, _RESCALE_LAST, _RESCALE_LENGTH = 400, 0.7, 1400


def alphas_cumprod() -> np.ndarray:
    """(1000,) float64: share of signal power left at each time step; exactly 0 at the last."""
    betas = np.linspace(_BETA_FIRST**0.5, _BETA_LAST**0.5, TRAIN_STEPS) ** 2
    root = np.sqrt(np.cumprod(1.0 - betas))
    first, last = root[0], root[-1]
    return ((root - last) * first / (first - last)) ** 2


def latent_scale() -> np.ndarray:
    """(1400,) float64: factor on clean latents in training, by time step."""
    ramp = np.linspace(1.0, _RESCALE_LAST, _RESCALE_STEPS)
    return np.concatenate([ramp, np.full(_RESCALE_LENGTH - _RESCALE_STEPS, _RESCALE_LAST)])


def checkpoint_buffers() -> dict[str, np.ndarray]:
    """The 13 schedule arrays that a checkpoint carries, float32, recomputed."""
    bar = alphas_cumprod()
    previous = np.concatenate([[1.0], bar[:-1]])
    alphas = bar / previous
    betas = 1.0 - alphas
    with np.errstate(divide="ignore"):
        variance = betas * (1.0 - previous) / (1.0 - bar)
        arrays = {
            "betas": betas,
            "alphas_cumprod": bar,
            "alphas_cumprod_prev": previous,
            "sqrt_alphas_cumprod": np.sqrt(bar),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(1.0 - bar),
            "log_one_minus_alphas_cumprod": np.log(1.0 - bar),
            # Infinite at the last step, therefore zeroed in whole: velocity prediction does not need them.
            "sqrt_recip_alphas_cumprod": np.zeros_like(bar),
            "sqrt_recipm1_alphas_cumprod": np.zeros_like(bar),
            "posterior_variance": variance,
            "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
            "posterior_mean_coef1": betas * np.sqrt(previous) / (1.0 - bar),
            "posterior_mean_coef2": (1.0 - previous) * np.sqrt(alphas) / (1.0 - bar),
            "scale_arr": latent_scale(),
        }
    return {name: values.astype(np.float32) for name, values in arrays.items()}


@dataclass(frozen=True)
class Steps:
    """S sampling steps in ascending time; sampling walks them from the end.

    Values are float64 numbers rounded to float32, which is how the reference keeps them: at full noise a
    coefficient is the root of a difference that would be 0 but for that rounding.
    """

    timesteps: np.ndarray  # (S,) int64
    alphas: np.ndarray  # (S,) float64, share of signal power
    alphas_prev: np.ndarray  # (S,) of the step that follows in sampling; ends at alphas_cumprod[0], not at 1
    scales: np.ndarray  # (S,) latent scale
    scales_prev: np.ndarray  # (S,)

    def sigmas(self, eta: float) -> np.ndarray:
        """(S,) standard deviation of the noise added after each step; 0 for eta 0."""
        a, before = self.alphas, self.alphas_prev
        return _rounded(eta * np.sqrt((1.0 - before) / (1.0 - a) * (1.0 - a / before)))


def trailing_steps(count: int) -> Steps:
    """``count`` steps (1 to 1000) that include the last training step."""
    if not 1 <= count <= TRAIN_STEPS:
        raise ValueError(f"count must be 1 to {TRAIN_STEPS}, got {count}")
    times = np.flip(np.round(np.arange(TRAIN_STEPS, 0, -TRAIN_STEPS / count)).astype(np.int64))[-count:] - 1
    bar, scale = _rounded(alphas_cumprod()), _rounded(latent_scale())
    alphas, scales = bar[times], scale[times]
    return Steps(
        timesteps=times,
        alphas=alphas,
        alphas_prev=np.concatenate([bar[:1], alphas[:-1]]),
        scales=scales,
        scales_prev=np.concatenate([scales[:1], scales[:-1]]),
    )


def _rounded(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64)
