"""mini behind the one protocol of all windowed models."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...errors import GeoError, OutOfMemory
from ...progress import Progress
from ..device import choose_device, ran_out
from ..prediction import Prediction
from ..windowed import ModelRequest, OneByOne
from ..working_size import closest_size
from .config import FRAMES, LATENT_CHANNELS, STRIDE
from .system import Mini, decoded, load
from .windowing import spread_windows

PIXELS = 160 * 96  # the size it was trained at
_WINDOW_STRIDE = 4
_SEED = 123


class MiniModel(OneByOne):
    """A :class:`~geo4d.models.windowed.WindowedModel`."""

    def __init__(self, system: Mini, request: ModelRequest, device: torch.device, progress: Progress):
        self.system, self.request, self.device, self.progress = system, request, device, progress
        self.size = closest_size(request.width, request.height, PIXELS, STRIDE)
        stride = min(request.options.stride or _WINDOW_STRIDE, FRAMES)
        self.windows = spread_windows(request.frame_count, request.fps, stride)

    def predict(self, positions: np.ndarray, number: int = 0) -> Prediction:
        """The window at ``positions`` (T,) of the shot. Raises GeoError for broken weights, OutOfMemory."""
        frames = np.ascontiguousarray(self.request.read([int(p) for p in positions], self.size))
        rgb = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].to(self.device).float() / 255
        try:
            with torch.inference_mode():
                latent, extra = self.system.sample(rgb, self.request.options.steps or 1, self._noise(positions))
                maps = [x[0].float().cpu() for x in (*decoded(self.system, latent), extra)]
        except Exception as error:
            if not ran_out(error):
                raise
            raise OutOfMemory(
                "out_of_memory", "mini needs about 1 GiB of memory, which is not free.", "Close other programs."
            ) from error
        if not all(torch.isfinite(x).all() for x in maps):
            raise GeoError(
                "model_not_finite",
                f"mini returned values that are not numbers in window {number + 1} of {len(self.windows)}.",
                "Check its weights with geo4d models verify mini.",
            )
        points, disparity, direction, moment, extra = maps
        extra = F.interpolate(extra, scale_factor=STRIDE, mode="bilinear")
        # A short shot runs to its end and back; each frame counts once.
        kept, first = np.unique(positions, return_index=True)
        chosen = first.tolist()
        return Prediction(
            positions=kept,
            width=self.size[0],
            height=self.size[1],
            points=_last(points[chosen]),
            points_weight=torch.exp(-extra[chosen, 0]).numpy(),
            disparity=disparity[chosen, 0].numpy(),
            ray_direction=_last(direction[chosen]),
            ray_moment=_last(moment[chosen]),
            # What it says of motion is left out: so far it is a guess by place, which would spoil static depth.
        )

    def _noise(self, positions: np.ndarray) -> torch.Tensor:
        """(1, T, 18, h, w): each frame's own, the same in every window that has it."""
        shape = (LATENT_CHANNELS, self.size[1] // STRIDE, self.size[0] // STRIDE)
        frames = [np.random.default_rng([_SEED, int(p)]).standard_normal(shape, np.float32) for p in positions]
        return torch.from_numpy(np.stack(frames))[None].to(self.device)


def _last(maps: torch.Tensor) -> np.ndarray:
    """Channels last."""
    return np.ascontiguousarray(maps.permute(0, 2, 3, 1).numpy())


def open_model(request: ModelRequest, progress: Progress) -> MiniModel:
    """mini with its weights, in float32 everywhere: it is too small to gain from less. Raises BadRequest."""
    device = choose_device(request.options)
    model = MiniModel(load(Path(request.options.weights), device), request, device, progress)
    progress.log(f"mini at {model.size[0]} x {model.size[1]} on {device}")
    return model
