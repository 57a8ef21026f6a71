"""A moving mask from a network that predicts none: what its own maps of one window cannot agree on.

Two kinds of evidence, each a probability of 0..1, joined as independent: p = 1 - (1 - p_static) (1 - p_time).

static world : a pixel's point, carried by the predicted cameras into frames before and after, must not lie in front
    of what those frames see there: a surface that another frame sees through is not there at that time. The share of
    frames that see through it counts. Points that are hidden there or out of view say nothing.
time (4D-VGGT alone) : how far the temporal trunk changes the logarithm of depth against the spatial trunk's alone,
    in units of the window's ordinary change. It says where motion was dealt with, not that a pixel moves, and it can
    say nothing where gates are almost closed; so it counts by half at most.

Later the alignment sees through pixels once more, with all windows fused.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_LONGER = 160  # pixels of the maps that are compared
_OFFSETS = (-12, -6, -3, -1, 1, 3, 6, 12)  # frames
_TOLERANCE, _NOISE = 0.08, 4.0  # of log depth: at least, and times its spread between neighbouring frames
_FREE, _FULL = 0.12, 0.4  # share of frames that see through: 0 and 1
_ORDINARY, _STRONG = 4.0, 12.0  # change by time in units of its spread: 0 and its most
_TIME_SHARE = 0.5
_LEAST_CHANGE = 0.01  # of log depth: below, both trunks simply agree


def moving(depth: Tensor, cameras: Tensor, fx: Tensor, fy: Tensor, spatial_depth: Tensor | None = None) -> Tensor:
    """Probability (T, H, W) of motion.

    ``depth`` (T, H, W) z-depth; ``cameras`` (T, 4, 4) camera-to-world, OpenCV; ``fx``, ``fy`` (T,) in pixels of the
    maps, the principal point in their middle. ``spatial_depth`` is depth without the temporal trunk.
    """
    size = depth.shape[-2:]
    scale = min(1.0, _LONGER / max(size))
    small = tuple(max(2, round(side * scale)) for side in size)
    static = see_through(_shrunk(depth, small), cameras.float(), fx * small[1] / size[1], fy * small[0] / size[0])
    if spatial_depth is not None:
        changed = by_time(_shrunk(depth, small), _shrunk(spatial_depth, small))
        static = 1 - (1 - static) * (1 - changed)
    return F.interpolate(static[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def see_through(depth: Tensor, cameras: Tensor, fx: Tensor, fy: Tensor) -> Tensor:
    """Probability (T, h, w) from the share of other frames that see something farther in a pixel's place."""
    count, h, w = depth.shape
    y, x = torch.meshgrid(torch.arange(h) + 0.5 - h / 2, torch.arange(w) + 0.5 - w / 2, indexing="ij")
    rays = torch.stack((x / fx[:, None, None].float(), y / fy[:, None, None].float(), torch.ones(count, h, w)), dim=-1)
    points = rays * depth[..., None]
    w2c = torch.linalg.inv(cameras.double()).float()
    gaps, known = [], []
    for offset in _OFFSETS:
        if abs(offset) >= count:
            continue
        here = torch.arange(max(0, -offset), min(count, count - offset))
        there = here + offset
        move = w2c[there] @ cameras[here]
        moved = torch.einsum("tij,thwj->thwi", move[:, :3, :3], points[here]) + move[:, None, None, :3, 3]
        z = moved[..., 2].clamp_min(1e-6)
        u = moved[..., 0] / z * fx[there, None, None].float() / (w / 2)
        v = moved[..., 1] / z * fy[there, None, None].float() / (h / 2)
        sight = torch.stack((u, v), dim=-1)
        seen = F.grid_sample(depth[there, None], sight, mode="nearest", padding_mode="border", align_corners=False)
        inside = (u.abs() < 1) & (v.abs() < 1) & (moved[..., 2] > 0)
        gap = depth.new_zeros(count, h, w)
        gap[here] = (seen[:, 0].clamp_min(1e-6) / z).log()
        mask = torch.zeros(count, h, w, dtype=torch.bool)
        mask[here] = inside
        gaps.append(gap)
        known.append(mask)
    if not gaps:
        return torch.zeros_like(depth)
    gaps, known = torch.stack(gaps), torch.stack(known)
    spread = gaps[known].abs().median() if known.any() else gaps.new_zeros(())
    through = known & (gaps > torch.clamp(_NOISE * spread, min=_TOLERANCE)) & ~_edges(depth)
    share = through.sum(0) / known.sum(0).clamp_min(1)
    return ((share - _FREE) / (_FULL - _FREE)).clamp(0, 1)


def by_time(depth: Tensor, spatial_depth: Tensor) -> Tensor:
    """Probability (T, h, w), at most a half, from the change of log depth that the temporal trunk made."""
    change = depth.clamp_min(1e-6).log() - spatial_depth.clamp_min(1e-6).log()
    change = change - change.flatten(1).median(dim=1).values[:, None, None]  # of scale alone
    spread = torch.clamp(1.4826 * change.abs().median(), min=_LEAST_CHANGE)
    return _TIME_SHARE * ((change.abs() / spread - _ORDINARY) / (_STRONG - _ORDINARY)).clamp(0, 1)


def _edges(depth: Tensor) -> Tensor:
    """Where depth jumps between neighbours, so that a shift of a pixel looks like motion."""
    log = depth.clamp_min(1e-6).log()[:, None]
    padded = F.pad(log, (1, 1, 1, 1), mode="replicate")
    return (F.max_pool2d(padded, 3, 1) + F.max_pool2d(-padded, 3, 1) > 2 * _TOLERANCE)[:, 0]


def _shrunk(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x[:, None].float(), size=size, mode="nearest-exact")[:, 0]
