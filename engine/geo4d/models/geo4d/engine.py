"""Geo4D behind the one protocol of all windowed models: its weights, device, precision, size and memory chosen."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from ...progress import Progress
from ..device import choose_device, free_bytes
from ..prediction import Prediction
from ..windowed import ModelOptions, ModelRequest, weights_file
from . import memory
from .inference import Inference, demand
from .settings import EXACT, Settings, working_size
from .system import load, read_sizes


class Geo4D:
    """A :class:`~geo4d.models.windowed.WindowedModel`."""

    def __init__(self, inference: Inference):
        self.inference = inference

    @property
    def windows(self) -> list[np.ndarray]:
        return self.inference.windows

    def run(self, finished: frozenset[int]) -> Iterator[tuple[int, Prediction]]:
        return self.inference.run(finished)


def open_model(request: ModelRequest, progress: Progress) -> Geo4D:
    """Geo4D with its weights, cut up to fit the memory of the device. Raises BadRequest, ModelMissing, OutOfMemory."""
    options = request.options
    path = weights_file("geo4d", options)
    device = choose_device(options)
    dtype = choose_precision(options, device)
    settings = EXACT if options.exact else Settings()
    if options.stride is not None:
        settings = replace(settings, stride=options.stride)
    sizes = read_sizes(path)
    size = working_size(request.width, request.height, sizes.pixels)
    accelerated = device.type == "cuda"
    # Known before gigabytes are read.
    plan = memory.plan(demand(sizes, size, dtype, settings), free_bytes(device), accelerated, options.low_memory)
    progress.log(f"Geo4D at {size[0]} x {size[1]} in {str(dtype).removeprefix('torch.')} on {device}: {plan}")
    system = load(path, device, dtype, streamed=plan.streamed)
    # The released demonstration cuts the frame rate to whole frames a second; rounding is nearer to the truth.
    fs = max(1, int(request.fps) if options.exact else round(request.fps))

    def read(positions) -> np.ndarray:
        return request.read(positions, size)

    return Geo4D(Inference(system, read, request.frame_count, size, fs, settings, progress, plan))


def choose_precision(options: ModelOptions, device: torch.device) -> torch.dtype:
    """Half precision on an accelerator: float16, which stays ten times closer to float32 than bfloat16 here."""
    if options.precision != "auto":
        return getattr(torch, options.precision)
    return torch.float16 if device.type == "cuda" else torch.float32
