"""What a prediction of the small twin is worth: cameras, depth and points (VGGT, arXiv 2503.11651, section 3.3).

The scene's scale is that of its mean distance, as in VGGT; the network must find it. Unlike VGGT's, errors of depth
and points are relative to the distance and those of translation to the window's path, so that near and far, long and
short ways count alike in the few steps that a processor can take.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.vggt4d.network import Output
from .batches import Scene

CAMERA, POINTS, GRADIENT, FLOW = 3.0, 0.5, 0.5, 0.7
_ROUND = 0.6  # weight of each round of the camera head against the next
_TURN = 5.0  # weight of rotations, whose quaternions differ little
_ANGLES = 2.0
_HUBER = 0.1
_CONFIDENCE = 0.1  # reward of the logarithm of confidence
_SKY = 0.1
_NEAR = 0.3  # units; errors of points nearer than that are not enlarged further
_STILL = 0.03  # units; a shorter way counts as if it were so long


def training_loss(out: Output, scene: Scene) -> tuple[Tensor, dict[str, float]]:
    """The sum, and its parts as plain numbers."""
    camera = camera_loss(out.codes, scene.code)
    weight = scene.solid + _SKY * ~scene.solid
    off = (out.depth.log() - scene.depth.clamp_min(1e-4).log()) * weight
    depth = _confident(off.abs(), out.depth_confidence, weight)
    slope = _slopes(off, scene)
    near = scene.points.norm(dim=-1).clamp_min(_NEAR)
    away = (out.points - scene.points).norm(dim=-1) / near * weight
    points = _confident(away, out.points_confidence, weight)
    loss = CAMERA * camera + depth + GRADIENT * slope + POINTS * points
    parts = {"camera": camera, "depth": off.abs().mean(), "slope": slope, "points": away.mean()}
    return loss, {name: float(value.detach()) for name, value in parts.items()}


def camera_loss(codes: Tensor, true: Tensor) -> Tensor:
    """Of all rounds (R, S, 9), the last counting most; a quaternion is as good as its negative."""
    way = true[:, :3].norm(dim=-1).amax().clamp_min(_STILL)
    quaternions = codes[..., 3:7]
    sign = torch.where((quaternions * true[:, 3:7]).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    errors = torch.cat(
        (
            (codes[..., :3] - true[:, :3]) / way,
            _TURN * (quaternions * sign - true[:, 3:7]),
            _ANGLES * (codes[..., 7:] - true[:, 7:]),
        ),
        dim=-1,
    )
    each = F.huber_loss(errors, torch.zeros_like(errors), reduction="none", delta=_HUBER) / _HUBER
    shares = _ROUND ** torch.arange(len(codes) - 1, -1, -1, device=codes.device)
    return (each.mean((1, 2)) * shares).sum() / shares.sum()


def flow_loss(read: list[Tensor], true: Tensor, share: Tensor) -> Tensor:
    """Of displacements (S, N, 2) in patches, read off each layer, where the share of a patch (S, N) has one."""
    errors = [F.huber_loss(flow, true, reduction="none", delta=_HUBER) / _HUBER for flow in read]
    return FLOW * sum((error.mean(-1) * share).mean() for error in errors)


def _confident(error: Tensor, confidence: Tensor, weight: Tensor) -> Tensor:
    return (confidence * error - _CONFIDENCE * weight * confidence.log()).mean() + error.mean()


def _slopes(off: Tensor, scene: Scene) -> Tensor:
    """Mean change of the error between neighbours: flat where surfaces have the true shape."""
    across = (off[..., :, 1:] - off[..., :, :-1]).abs() * (scene.solid[..., :, 1:] & scene.solid[..., :, :-1])
    down = (off[..., 1:, :] - off[..., :-1, :]).abs() * (scene.solid[..., 1:, :] & scene.solid[..., :-1, :])
    return across.mean() + down.mean()
