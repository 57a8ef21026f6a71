"""The unknowns of the paper's alignment, in the parameterisation that its optimiser sees.

Source: Geo4D (arXiv 2504.07961), section on multi-modal alignment, as its released implementation has it.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_FOCAL_BASE = 20.0  # focal length = exp(parameter / 20), so that one learning rate suits all
_MEAN_SCALE = math.log(0.5)  # the mean log scale of the windows is held here: the world's own scale is free


@dataclass
class Parameters:
    """N frames of H x W pixels in G windows; every field may require gradients.

    Quaternions are (x, y, z, w) of any length, translations t are stored as sign(t) log(1 + |t|).
    """

    log_depth: Tensor  # (N, H * W)
    camera: Tensor  # (N, 7): quaternion and translation, camera-to-world
    log_focal: Tensor  # (1, 1): 20 log(focal length in pixels of the maps), shared by all frames
    window: Tensor  # (G, 8): quaternion, translation and log scale, window-to-world
    disparity_scale: Tensor  # (G, 1)
    disparity_shift: Tensor  # (G, 1)
    trajectory: Tensor  # (G, 8): quaternion, translation; log scale of the ray cameras' own translations

    def tensors(self) -> list[Tensor]:
        return list(vars(self).values())

    def focal(self) -> Tensor:
        return torch.exp(self.log_focal[0, 0] / _FOCAL_BASE)

    def depth(self) -> Tensor:
        """(N, H * W)."""
        return torch.exp(self.log_depth)

    def c2w(self) -> tuple[Tensor, Tensor]:
        """Rotations (N, 3, 3) and centres (N, 3)."""
        return rotation(self.camera[:, :4]), expanded(self.camera[:, 4:7])

    def window_to_world(self) -> tuple[Tensor, Tensor, Tensor]:
        """Scales (G,), rotations (G, 3, 3) and translations (G, 3) of ``scale * (R x + t)``."""
        log_scale = self.window[:, 7]
        scale = torch.exp(log_scale + _MEAN_SCALE - log_scale.mean())
        return scale, rotation(self.window[:, :4]), expanded(self.window[:, 4:7])

    def trajectory_to_world(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rotations (G, 3, 3), translations (G, 3), and scales (G,) of the ray cameras' translations."""
        return rotation(self.trajectory[:, :4]), expanded(self.trajectory[:, 4:7]), torch.exp(self.trajectory[:, 7])


def focal_parameter(focal_px: float) -> float:
    return _FOCAL_BASE * math.log(focal_px)


def expanded(stored: Tensor) -> Tensor:
    """Stored translations to translations."""
    return torch.sign(stored) * torch.expm1(stored.abs())


def compressed(translation: Tensor) -> Tensor:
    """Translations as they are stored."""
    return torch.sign(translation) * torch.log1p(translation.abs())


def rotation(q: Tensor) -> Tensor:
    """Quaternions (..., 4) as (x, y, z, w), any length, to matrices (..., 3, 3)."""
    x, y, z, w = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
