"""The paper's alignment objective: point, disparity, trajectory and smoothness terms over all windows.

Source: Geo4D (arXiv 2504.07961), equations of the alignment section with the weights of the released system.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .parameters import Parameters

DISPARITY_WEIGHT = 2.0
TRAJECTORY_WEIGHT = 0.005
SMOOTHNESS_WEIGHT = 0.015
MAX_POINT_WEIGHT = 10.0
MIN_DISPARITY = 0.05  # of the network's unit range: below it lies the sky
_INVERSE_DEPTH_EPSILON = 1e-6


@dataclass
class Windows:
    """What was predicted, G windows of T frames of H x W pixels; a modality that no window has is None.

    Where only some windows have one, the others hold zeros (identity poses) and are not in ``with_disparity`` or
    ``with_cameras``. ``usable`` and ``trusted`` say which windows' disparity and trajectory take part.
    """

    frames: Tensor  # (G, T) int64: which frame
    height: int
    width: int
    points: Tensor | None = None  # (G, T, H * W, 3) in the window's first camera, up to scale
    weight: Tensor | None = None  # (G, T, H * W)
    disparity: Tensor | None = None  # (G, T, H * W)
    c2w: Tensor | None = None  # (G, T, 4, 4) from ray maps, translations in units of the points
    usable: Tensor | None = None  # (G,) bool
    trusted: Tensor | None = None  # (G,) bool
    with_disparity: Tensor | None = None  # (G,) bool; None = all
    with_cameras: Tensor | None = None  # (G,) bool; None = all

    @property
    def pixel_count(self) -> int:
        return self.frames.numel() * self.height * self.width


def loss(parameters: Parameters, windows: Windows, with_rays_and_disparity: bool) -> Tensor:
    """The whole objective; disparity and trajectory terms only where asked for and predicted."""
    total = smoothness_term(parameters)
    if windows.points is not None:
        total = total + point_term(parameters, windows)
    if with_rays_and_disparity:
        if windows.disparity is not None:
            total = total + disparity_term(parameters, windows)
        if windows.c2w is not None:
            total = total + trajectory_term(parameters, windows)
    return total


def world_points(parameters: Parameters, height: int, width: int) -> Tensor:
    """Points (N, H * W, 3) that depth and cameras put into the world; pixels at whole numbers, as in the reference."""
    depth, focal = parameters.depth(), parameters.focal()
    v, u = torch.meshgrid(
        torch.arange(height, dtype=depth.dtype, device=depth.device),
        torch.arange(width, dtype=depth.dtype, device=depth.device),
        indexing="ij",
    )
    x = depth * (u.reshape(-1) - width / 2) / focal
    y = depth * (v.reshape(-1) - height / 2) / focal
    R, t = parameters.c2w()
    return torch.stack([x, y, depth], dim=-1) @ R.transpose(1, 2) + t[:, None]


def point_term(parameters: Parameters, windows: Windows) -> Tensor:
    """Weighted mean distance of the frames' world points from every window's points."""
    mine = world_points(parameters, windows.height, windows.width)
    scale, R, t = parameters.window_to_world()
    theirs = scale[:, None, None, None] * (torch.einsum("gij,gtpj->gtpi", R, windows.points) + t[:, None, None])
    distance = (mine[windows.frames] - theirs).norm(dim=-1)
    return (windows.weight.clamp(max=MAX_POINT_WEIGHT) * distance).sum() / windows.pixel_count


def disparity_term(parameters: Parameters, windows: Windows) -> Tensor:
    """Mean difference of inverse depth from every usable window's scaled and shifted disparity."""
    inverse = 1.0 / (parameters.depth() + _INVERSE_DEPTH_EPSILON)
    scale, shift = parameters.disparity_scale[:, :, None], parameters.disparity_shift[:, :, None]
    difference = (inverse[windows.frames] - (scale * windows.disparity + shift)).abs()
    counted = (windows.disparity > MIN_DISPARITY) & windows.usable[:, None, None]
    return DISPARITY_WEIGHT * (difference * counted).sum() / windows.pixel_count


def trajectory_term(parameters: Parameters, windows: Windows) -> Tensor:
    """How far the cameras are from every trusted window's own cameras; a sum, not a mean."""
    R, t = parameters.c2w()
    RB, tB, scale = parameters.trajectory_to_world()
    RT, tT = windows.c2w[..., :3, :3], windows.c2w[..., :3, 3] * scale[:, None, None]
    theirs_R = torch.einsum("gij,gtjk->gtik", RB, RT)
    theirs_t = torch.einsum("gij,gtj->gti", RB, tT) + tB[:, None]
    off = motion_size(theirs_R, theirs_t, R[windows.frames], t[windows.frames])
    return TRAJECTORY_WEIGHT * (off * windows.trusted[:, None]).sum()


def smoothness_term(parameters: Parameters) -> Tensor:
    """How far the camera moves from frame to frame; a sum."""
    R, t = parameters.c2w()
    return SMOOTHNESS_WEIGHT * motion_size(R[:-1], t[:-1], R[1:], t[1:]).sum()


def motion_size(R0: Tensor, t0: Tensor, R1: Tensor, t1: Tensor) -> Tensor:
    """Frobenius distance from no rotation plus length of the translation, of the motion from pose 0 to pose 1."""
    relative = R0.transpose(-1, -2) @ R1
    moved = torch.einsum("...ji,...j->...i", R0, t1 - t0)
    eye = torch.eye(3, dtype=R0.dtype, device=R0.device)
    return (relative - eye).flatten(-2).norm(dim=-1) + moved.norm(dim=-1)
