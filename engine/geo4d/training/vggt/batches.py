"""Windows of the store of clips as the network is given them, in the family's own scale of the scene."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.vggt4d import pose
from ..window_clips import Windows

# Cells (columns, rows) of pictures, and how often: whole ones, somewhat stretched, and the middles of wide ones.
GRIDS = (((10, 6), 0.55), ((11, 6), 0.2), ((11, 7), 0.05), ((10, 7), 0.1), ((8, 6), 0.1))
_STRETCH = 1.2  # more than that of a side is cut off instead
_FARTHEST = 30.0  # in units of the mean distance


@dataclass
class Scene:
    """One window of S frames and what a perfect network would say of it.

    World = the first camera's axes (OpenCV), scaled so that the mean distance of its seen points is 1.
    """

    images: Tensor  # (S, 3, H, W) float32, 0..1
    depth: Tensor  # (S, H, W) z-depth
    points: Tensor  # (S, H, W, 3)
    solid: Tensor  # (S, H, W) bool: no sky
    code: Tensor  # (S, 9) camera, see geo4d.models.vggt4d.pose
    unit: float  # metres in one unit


def draw_grid(rng: np.random.Generator) -> tuple[int, int]:
    grids, shares = zip(*GRIDS, strict=True)
    return grids[rng.choice(len(grids), p=shares)]


def scene(windows: Windows, cells: tuple[int, int], patch: int, at: int = 0) -> Scene:
    """Window ``at`` of ``windows`` at ``cells`` of ``patch`` pixels: cut about the middle, then resized.

    Depth is that of the nearest pixel, so that no surface appears between two.
    """
    one = Windows(**{name: value[at : at + 1] for name, value in vars(windows).items()})
    height, width = one.depth.shape[2:]
    w, h = cells[0] * patch, cells[1] * patch
    one = _middle(one, *_cut(width, height, w / h))
    height, width = one.depth.shape[2:]
    size = (h, w)
    images = F.interpolate(one.rgb[0], size=size, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
    depth = F.interpolate(one.depth[0, :, None], size=size, mode="nearest-exact")[:, 0]
    sky = F.interpolate(one.sky[0, :, None].float(), size=size, mode="nearest-exact")[:, 0] > 0.5
    K = one.K[0].clone()
    K[:, 0] *= w / width
    K[:, 1] *= h / height
    resized = Windows(one.rgb, depth[None], one.c2w, K[None], one.moving, sky[None])
    points = resized.points()[0].permute(0, 2, 3, 1)
    seen = points[~sky] if (~sky).any() else points.reshape(-1, 3)
    unit = float(seen.norm(dim=-1).mean().clamp_min(1e-3))
    w2c = torch.linalg.inv(one.c2w[0].double()).float()
    w2c[:, :3, 3] /= unit
    code = pose.encode(w2c[:, :3], K, h, w)
    depth, points = (depth / unit).clamp(max=_FARTHEST), points / unit
    far = points.norm(dim=-1, keepdim=True)
    return Scene(images, depth, points * (far.clamp(max=_FARTHEST) / far.clamp_min(1e-6)), ~sky, code, unit)


def _cut(width: int, height: int, ratio: float) -> tuple[int, int]:
    """(w, h) to keep of a picture so that stretching it to ``ratio`` is bearable."""
    off = width / height / ratio
    if off > _STRETCH:
        return round(height * ratio), height
    return (width, round(width / ratio)) if off < 1 / _STRETCH else (width, height)


def _middle(one: Windows, w: int, h: int) -> Windows:
    height, width = one.depth.shape[2:]
    x, y = (width - w) // 2, (height - h) // 2
    cut = {name: getattr(one, name)[..., y : y + h, x : x + w] for name in ("rgb", "depth", "moving", "sky")}
    K = one.K.clone()
    K[..., 0, 2] -= x
    K[..., 1, 2] -= y
    return Windows(c2w=one.c2w, K=K, **cut)
