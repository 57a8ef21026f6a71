"""Switches of a Geo4D run, each with its reason; two sets of them: the reference's way and ours."""

from dataclasses import dataclass, field
from typing import Literal

from ..working_size import closest_size
from .modalities import SKY_TOLERANCE
from .sampler import Guidance

SIZE_MULTIPLE = 64  # of pixels: the network halves latents three times


@dataclass(frozen=True)
class Settings:
    """How windows are denoised and decoded. The defaults are the better way; :data:`EXACT` is the reference's.

    steps, eta, guidance : as in the released system.
    stride : frames between windows.
    seed : of all noise.
    posterior : ``"mean"`` codes a frame the same in every window; ``"sample"`` draws, as the reference does, which
        adds noise for nothing.
    shared_noise : each frame begins from its own noise in every window that has it, so that overlapping windows
        agree more; the reference draws anew for each window.
    clean_scale : final latents brought back to the scale that the decoders were trained on; the reference returns
        them at 0.85 of it (5 steps) with a little noise left.
    repeat_last : the reference denoises the last window twice where the clip's length divides evenly.
    ray_stride : ray maps decoded at 1/n of the size. They are smooth and yield one camera a frame, so a quarter of
        the pixels will do; 1 decodes them in full as the reference does.
    sky_tolerance : around the value that marks sky.
    """

    steps: int = 5
    eta: float = 0.0
    guidance: Guidance = field(default_factory=Guidance)
    stride: int = 4
    seed: int = 123
    posterior: Literal["mean", "sample"] = "mean"
    shared_noise: bool = True
    clean_scale: bool = True
    repeat_last: bool = False
    ray_stride: int = 2
    sky_tolerance: float = SKY_TOLERANCE


EXACT = Settings(posterior="sample", shared_noise=False, clean_scale=False, repeat_last=True, ray_stride=1)


def working_size(width: int, height: int, pixels: int = 512 * 320) -> tuple[int, int]:
    """(w, h) that the network sees."""
    return closest_size(width, height, pixels, SIZE_MULTIPLE)
