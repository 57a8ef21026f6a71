"""Windows of the store of clips as the network is given them, in the family's own scale of the scene."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.vggt4d import pose
from ..window_clips import Windows

# Cells (longer side, shorter) of pictures, and how often: whole ones, somewhat stretched, and the middles of long ones.
GRIDS = (((10, 6), 0.55), ((11, 6), 0.2), ((11, 7), 0.05), ((10, 7), 0.1), ((8, 6), 0.1))
_STRETCH = 1.2  # more than that of a side is cut off instead
_FARTHEST = 30.0  # in units of the mean distance
_ZOOM = 1.04, 1.25  # into the picture, which leaves room to look about in it
_ROLL = 0.05  # radians


@dataclass
class Scene:
    """One window of S frames and what a perfect network would say of it.

    World = the first camera's axes (OpenCV), scaled so that the mean distance of its seen points is 1.
    """

    images: Tensor  # (S, 3, H, W) float32, 0..1
    depth: Tensor  # (S, H, W) z-depth
    points: Tensor  # (S, H, W, 3)
    solid: Tensor  # (S, H, W) bool: no sky
    still: Tensor  # (S, H, W) bool: does not move
    code: Tensor  # (S, 9) camera, see geo4d.models.vggt4d.pose
    unit: float  # metres in one unit


@dataclass(frozen=True)
class View:
    """What is seen of a window: a middle part of it, and how each camera was turned about itself."""

    zoom: float
    turn: Tensor  # (S, 3, 3) float64 from the new cameras' axes to the old ones'


def draw_grid(rng: np.random.Generator, windows: Windows) -> tuple[int, int]:
    """Cells (columns, rows), upright for windows that are."""
    grids, shares = zip(*GRIDS, strict=True)
    longer, shorter = grids[rng.choice(len(grids), p=shares)]
    height, width = windows.depth.shape[2:]
    return (longer, shorter) if width >= height else (shorter, longer)


def draw_view(rng: np.random.Generator, windows: Windows) -> View:
    """Cameras turned each by itself, as far as the part of the picture that is seen leaves room."""
    count = windows.depth.shape[1]
    zoom = float(rng.uniform(*_ZOOM))
    room = (1 - 1 / zoom) / 2 * rng.uniform(0, 1)
    height, width = windows.depth.shape[2:]
    focal = windows.K[0, :, 0, 0].numpy()
    across, down = (rng.uniform(-1, 1, count) * room * side / focal for side in (width, height))
    vectors = np.stack((-down, across, rng.uniform(-_ROLL, _ROLL, count)), axis=1)
    skew = np.zeros((count, 3, 3))
    skew[:, (2, 0, 1), (1, 2, 0)], skew[:, (1, 2, 0), (2, 0, 1)] = vectors, -vectors
    return View(zoom, torch.linalg.matrix_exp(torch.from_numpy(skew)))


def scene(windows: Windows, cells: tuple[int, int], patch: int, at: int = 0, view: View | None = None) -> Scene:
    """Window ``at`` of ``windows`` at ``cells`` of ``patch`` pixels: cut about the middle, then resized.

    Depth is that of the nearest pixel, so that no surface appears between two.
    """
    c2w, K = windows.c2w[at].double(), windows.K[at].double()
    if view is not None:
        c2w = c2w.clone()
        c2w[:, :3, :3] = c2w[:, :3, :3] @ view.turn
    w2c = torch.linalg.inv(c2w) @ c2w[0]
    old_height, old_width = windows.depth.shape[2:]
    width, height = cells[0] * patch, cells[1] * patch
    cut = np.divide(_cut(old_width, old_height, width / height), view.zoom if view else 1.0)
    lens = torch.eye(3, dtype=torch.float64).repeat(len(K), 1, 1)
    lens[:, 0, 0], lens[:, 1, 1] = K[:, 0, 0] * width / cut[0], K[:, 1, 1] * height / cut[1]
    lens[:, 0, 2], lens[:, 1, 2] = width / 2, height / 2

    # Rays of the new pixels, where the old camera saw them, and what was there.
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    seen = torch.stack((x, y, torch.ones_like(x)), dim=-1).double() @ torch.linalg.inv(lens)[:, None].mT
    old = seen if view is None else seen @ view.turn[:, None].mT
    place = old @ K[:, None].mT
    place = place[..., :2] / place[..., 2:] * 2 / torch.tensor([old_width, old_height]) - 1
    place = place.float()
    images = F.grid_sample(windows.rgb[at], place, padding_mode="border", align_corners=False)

    def nearest(values: Tensor) -> Tensor:
        values = values[at, :, None].float()
        return F.grid_sample(values, place, "nearest", padding_mode="border", align_corners=False)[:, 0]

    depth = nearest(windows.depth) / old[..., 2].float()
    solid, still = nearest(windows.sky) < 0.5, nearest(windows.moving) < 0.5
    pose_of = torch.linalg.inv(w2c)
    local = seen * depth[..., None]
    points = (local @ pose_of[:, None, :3, :3].mT + pose_of[:, None, None, :3, 3]).float()
    some = points[solid] if solid.any() else points.reshape(-1, 3)
    unit = float(some.norm(dim=-1).mean().clamp_min(1e-3))
    w2c[:, :3, 3] /= unit
    depth, points = (depth / unit).clamp(max=_FARTHEST), points / unit
    far = points.norm(dim=-1, keepdim=True)
    points = points * (far.clamp(max=_FARTHEST) / far.clamp_min(1e-6))
    return Scene(images, depth, points, solid, still, pose.encode(w2c[:, :3], lens, height, width), unit)


def rigid_flow(truth: Scene, patch: int) -> tuple[Tensor, Tensor]:
    """Where the first frame saw what each patch shows, less where the patch is: (S, N, 2) in patches, and its weight.

    The weight (S, N) is the share of a patch that does not move and that lay before the first camera.
    """
    height, width = truth.depth.shape[1:]
    fx, fy = (side / 2 / torch.tan(truth.code[0, k] / 2) for side, k in ((width, 8), (height, 7)))
    z = truth.points[..., 2]
    valid = (truth.still & (z > 0.05)).float()
    u = truth.points[..., 0] / z.clamp_min(0.05) * fx + width / 2
    v = truth.points[..., 1] / z.clamp_min(0.05) * fy + height / 2
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    flow = torch.stack((u - x.to(u), v - y.to(u)), dim=1).clamp(-4 * patch, 4 * patch) / patch
    share = F.avg_pool2d(valid[:, None], patch)
    mean = F.avg_pool2d(flow * valid[:, None], patch) / share.clamp_min(1e-3)
    return mean.flatten(2).mT, share.flatten(1)


def _cut(width: int, height: int, ratio: float) -> tuple[float, float]:
    """(w, h) to keep of a picture so that stretching it to ``ratio`` is bearable."""
    off = width / height / ratio
    if off > _STRETCH:
        return height * ratio, height
    return (width, width / ratio) if off < 1 / _STRETCH else (width, height)
