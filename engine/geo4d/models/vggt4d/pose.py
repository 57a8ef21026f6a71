"""The code of cameras that the network predicts: translation, quaternion, angles of view."""

import math

import torch
from torch import Tensor

_ANGLES = 1e-3, math.pi - 1e-3  # an angle of 0 would be an infinite focal length


def decode(code: Tensor, height: int, width: int, bounded: bool = True) -> tuple[Tensor, Tensor]:
    """World-to-camera (..., 3, 4) and intrinsics (..., 3, 3) in pixels of ``width`` x ``height``.

    ``code`` (..., 9) = translation (3), quaternion with the real part last (4, any length), angle of view vertically
    and horizontally. Camera axes as in OpenCV. ``bounded`` keeps angles from the ends of their range.
    """
    code = code.float()
    x, y, z, w = code[..., 3:7].unbind(-1)
    s = 2 / (x * x + y * y + z * z + w * w)
    rows = (
        (1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)),
        (s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)),
        (s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)),
    )
    rotation = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    extrinsics = torch.cat((rotation, code[..., :3, None]), dim=-1)
    angles = code[..., 7:9].clamp(*_ANGLES) if bounded else code[..., 7:9]
    intrinsics = code.new_zeros(*code.shape[:-1], 3, 3)
    intrinsics[..., 0, 0] = width / 2 / torch.tan(angles[..., 1] / 2)
    intrinsics[..., 1, 1] = height / 2 / torch.tan(angles[..., 0] / 2)
    intrinsics[..., 0, 2], intrinsics[..., 1, 2], intrinsics[..., 2, 2] = width / 2, height / 2, 1
    return extrinsics, intrinsics


def encode(extrinsics: Tensor, intrinsics: Tensor, height: int, width: int) -> Tensor:
    """The inverse of :func:`decode`; the quaternion has length 1 and a real part >= 0."""
    rotation = extrinsics[..., :3, :3]
    vertical = 2 * torch.atan(height / 2 / intrinsics[..., 1, 1])
    horizontal = 2 * torch.atan(width / 2 / intrinsics[..., 0, 0])
    return torch.cat(
        (extrinsics[..., :3, 3], quaternion(rotation), vertical[..., None], horizontal[..., None]), dim=-1
    ).float()


def quaternion(rotation: Tensor) -> Tensor:
    """(..., 3, 3) to (..., 4), real part last and >= 0: the eigenvector of the largest eigenvalue (Bar-Itzhack)."""
    r = rotation.double()
    diagonal = torch.diagonal(r, dim1=-2, dim2=-1)
    trace = diagonal.sum(-1)
    matrix = r.new_zeros(*r.shape[:-2], 4, 4)
    matrix[..., :3, :3] = r + r.transpose(-1, -2) - trace[..., None, None] * torch.eye(3, dtype=r.dtype)
    axis = torch.stack((r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]), dim=-1)
    matrix[..., :3, 3] = matrix[..., 3, :3] = axis
    matrix[..., 3, 3] = trace
    q = torch.linalg.eigh(matrix)[1][..., -1]
    return torch.where(q[..., 3:] < 0, -q, q).to(rotation.dtype)
