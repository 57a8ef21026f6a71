"""Point maps, disparity and ray maps as the network codes them, and back.

Lengths are in units of the window's mean distance of points from its first camera, the sky left out; axes are that
camera's (OpenCV). Points are compressed along their rays by log(1 + r), so that what is far does not outweigh what is
near (D4RT does likewise), then centred and scaled by constants; no window's own mean is taken away, which would have to
be guessed back.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import STRIDE

_POINT_CENTRE, _POINT_SPREAD, _FARTHEST = 0.65, 0.3, 10.0
_DISPARITY_CENTRE, _DISPARITY_SPREAD, _DISPARITY_MOST = 1.2, 0.8, 6.0
_RAY_CENTRE, _RAY_SPREAD = 0.9, 0.3
_MOMENT_SPREAD = 0.15


@dataclass
class Maps:
    """Coded maps of (B, T) frames."""

    points: Tensor  # (B, T, 3, H, W)
    disparity: Tensor  # (B, T, 1, H, W)
    rays: Tensor  # (B, T, 6, H / 8, W / 8): direction, moment


def code(points: Tensor, depth: Tensor, rays: Tensor, c2w: Tensor, sky: Tensor) -> Maps:
    """Maps of true geometry.

    Parameters
    ----------
    points : (B, T, 3, H, W) in the axes of the first camera.
    depth : (B, T, H, W) z-depth of each frame's own camera.
    rays : (B, T, 3, H, W) directions in each camera's axes with z = 1.
    c2w : (B, T, 4, 4), the first is the identity.
    sky : (B, T, H, W) bool.
    """
    distance = points.norm(dim=2)
    seen = (~sky).to(distance.dtype)
    unit = (distance * seen).sum((1, 2, 3)) / seen.sum((1, 2, 3)).clamp(min=1)
    unit = torch.where(unit > 0, unit, distance.mean((1, 2, 3)))[:, None, None, None, None]
    disparity = (unit / depth[:, :, None].clamp(min=1e-6)).clamp(max=_DISPARITY_MOST)
    # Rays with z = 1 are linear in the pixel: their mean over a cell is the ray of its centre.
    centre = F.avg_pool2d(rays.flatten(0, 1), STRIDE).unflatten(0, rays.shape[:2])
    direction = F.normalize(torch.einsum("btij,btjhw->btihw", c2w[..., :3, :3], centre), dim=2)
    origin = (c2w[..., :3, 3] / unit[..., 0, 0])[..., None, None].expand_as(direction)
    moment = torch.linalg.cross(origin, direction, dim=2)
    return Maps(
        code_points(points / unit), (disparity - _DISPARITY_CENTRE) / _DISPARITY_SPREAD, code_rays(direction, moment)
    )


def code_points(points: Tensor) -> Tensor:
    """(..., 3, H, W) in units of the mean distance; what is farther than ``_FARTHEST`` is drawn in to it."""
    distance = points.norm(dim=-3, keepdim=True).clamp(min=1e-6)
    compressed = points / distance * torch.log1p(distance.clamp(max=_FARTHEST))
    return (compressed - _forward(_POINT_CENTRE, points)) / _POINT_SPREAD


def decode_points(coded: Tensor) -> Tensor:
    compressed = coded * _POINT_SPREAD + _forward(_POINT_CENTRE, coded)
    distance = compressed.norm(dim=-3, keepdim=True).clamp(min=1e-6)
    return compressed / distance * torch.expm1(distance)


def decode_disparity(coded: Tensor) -> Tensor:
    return (coded * _DISPARITY_SPREAD + _DISPARITY_CENTRE).clamp(min=0.0)


def code_rays(direction: Tensor, moment: Tensor) -> Tensor:
    centred = (direction - _forward(_RAY_CENTRE, direction)) / _RAY_SPREAD
    return torch.cat([centred, moment / _MOMENT_SPREAD], dim=-3)


def decode_rays(coded: Tensor) -> tuple[Tensor, Tensor]:
    """Unit directions and moments (..., 3, h, w)."""
    direction, moment = coded.split(3, dim=-3)
    return F.normalize(direction * _RAY_SPREAD + _forward(_RAY_CENTRE, coded), dim=-3), moment * _MOMENT_SPREAD


def _forward(length: float, like: Tensor) -> Tensor:
    """(3, 1, 1): so far along z."""
    return torch.tensor([0.0, 0.0, length], device=like.device, dtype=like.dtype)[:, None, None]
