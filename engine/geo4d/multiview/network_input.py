"""What the depth network sees of a frame: the untrained method's maps, the picture, solved points, rays.

Everything about depth is a log ratio to the untrained inverse depth, so scale and distance cancel. Maps are padded
at the right and lower edge to whole multiples of :data:`MULTIPLE`.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.camera import Intrinsics
from .composition import Composition
from .plane_sweep import CELL
from .planes import OFFERED, offered_planes
from .standing import standing

MULTIPLE = 32
FUSED = 16  # channel of the measured depth's ratio; its weight follows
MOVING = 18  # channel of the untrained probability of motion
STATIC = 20  # channel of the static scene's ratio
FLOOR = 21  # channel of the floor's ratio; whether there is a floor follows
RAY_X = 25  # channel of the ray's x; its y follows
PLANES = 27  # first channel of the offered planes' ratios; their shares follow
STANDING = PLANES + 2 * OFFERED  # channel of the ratio of what stands on the floor; its closeness follows
CHANNELS = STANDING + 2
# What the correction may choose from besides no correction: the static scene, the floor, planes, what stands.
CANDIDATES = (STATIC, FLOOR, *range(PLANES, PLANES + OFFERED), STANDING)
RATIO_LIMIT = 1.0  # of log ratios
DEPTH_LIMIT = 3.0  # of log inverse depth against its median


@dataclass
class NetworkInput:
    """Tensors of one frame; H, W are the padded maps' size."""

    maps: np.ndarray  # (CHANNELS, H / 2, W / 2) float32
    base: np.ndarray  # (H, W) float32 log inverse depth of the untrained method minus ``level``
    level: float  # median log inverse depth
    rough: np.ndarray  # (H / 4, W / 4) float32 inverse depth of the static scene: the plane sweep's surface


def pad(channel: np.ndarray) -> np.ndarray:
    """Map (h, w, ...) with its edge repeated to the right and below up to multiples of MULTIPLE."""
    h, w = channel.shape[:2]
    grow = [(0, -h % MULTIPLE), (0, -w % MULTIPLE)] + [(0, 0)] * (channel.ndim - 2)
    return np.pad(channel, grow, mode="edge")


def cells(channel: np.ndarray, side: int = 2) -> np.ndarray:
    """Means (H / side, W / side) of square cells."""
    h, w = channel.shape
    return cv2.resize(channel, (w // side, h // side), interpolation=cv2.INTER_AREA)


def unfold(channel: np.ndarray) -> np.ndarray:
    """The four pixels of each 2 x 2 cell as channels (4, H / 2, W / 2): upper left, upper right, lower left, right."""
    return np.stack([channel[y::2, x::2] for y in (0, 1) for x in (0, 1)])


def fold(channels: np.ndarray) -> np.ndarray:
    """Inverse of :func:`unfold`: (4, H / 2, W / 2) to (H, W)."""
    _, h, w = channels.shape
    return channels.reshape(2, 2, h, w).transpose(2, 0, 3, 1).reshape(2 * h, 2 * w)


def log_ratio(d: np.ndarray, log_d: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Log of inverse depth ``d`` over the untrained one, within RATIO_LIMIT; 0 but ``where``."""
    value = np.log(np.maximum(d, 1e-12)) - log_d
    return np.where(where, np.clip(value, -RATIO_LIMIT, RATIO_LIMIT), 0)


def network_input(rgb: np.ndarray, lens: Intrinsics, composition: Composition, anchors: np.ndarray) -> NetworkInput:
    """Tensors from a frame's picture uint8 (h, w, 3), its composition, and inverse depths of solved points (h, w).

    ``anchors`` is 0 where there is no point.
    """
    c = composition
    log_d = np.log(np.maximum(c.d, 1e-12)).astype(np.float32)
    level = float(np.median(log_d))

    def ratio(d: np.ndarray, where: np.ndarray) -> np.ndarray:
        return log_ratio(d, log_d, where).astype(np.float32)

    base = pad(np.clip(log_d - level, -DEPTH_LIMIT, DEPTH_LIMIT))
    measured, known = c.weight > 0, anchors > 0
    share = pad(c.weight.astype(np.float32))
    fused = cells(pad(ratio(c.measured, measured)) * share) / np.maximum(cells(share), 1e-6)
    points = cells(pad(known.astype(np.float32)))
    anchored = cells(pad(ratio(anchors, known))) / np.maximum(points, 1e-6)
    if c.floor is None:
        floor, has_floor = np.zeros_like(log_d), np.zeros_like(log_d)
    else:
        floor, has_floor = ratio(c.floor, np.ones_like(known)), np.ones_like(log_d)
    h, w = log_d.shape
    x = np.broadcast_to((np.arange(w, dtype=np.float32) + 0.5 - lens.cx) / lens.fx, (h, w))
    y = np.broadcast_to((np.arange(h, dtype=np.float32)[:, None] + 0.5 - lens.cy) / lens.fy, (h, w))
    smooth = [c.weight, c.moving, c.confidence, ratio(c.static, np.ones_like(known)), floor, has_floor]
    picture = pad(rgb).astype(np.float32) / 255 - 0.5
    maps = np.concatenate(
        [
            *(unfold(picture[..., k]) for k in range(3)),
            unfold(base),
            fused[None],
            np.stack([cells(pad(np.asarray(m, np.float32))) for m in smooth]),
            anchored[None],
            (points > 0)[None],
            np.stack([cells(pad(x)), cells(pad(y))]),
        ]
    ).astype(np.float32)
    maps = with_guesses(maps)
    static = pad(np.maximum(c.static, 1e-12).astype(np.float32))
    return NetworkInput(maps, base.astype(np.float32), level, np.exp(cells(np.log(static), CELL)).astype(np.float32))


def with_guesses(maps: np.ndarray) -> np.ndarray:
    """Maps (PLANES, h, w) with the channels (CHANNELS - PLANES, h, w) of what they themselves suggest."""
    picture = maps[:12].reshape(3, 4, *maps.shape[1:]).mean(axis=1).transpose(1, 2, 0)
    rgb = np.clip((picture + 0.5) * 255, 0, 255).astype(np.uint8)
    log_d = maps[12:16].mean(axis=0)
    x, y = maps[RAY_X], maps[RAY_X + 1]

    d, share = offered_planes(rgb, x, y, np.exp(log_d + maps[FUSED]), maps[FUSED + 1])
    stands, closeness = np.zeros_like(log_d), np.zeros_like(log_d)
    if (floor := _floor(maps, log_d)) is not None:
        static = np.exp(log_d + maps[STATIC])
        stands, closeness = standing(rgb, x, y, static, maps[FUSED + 1], maps[MOVING], floor)
    return np.concatenate(
        [maps, log_ratio(d, log_d, d > 0), share, log_ratio(stands, log_d, stands > 0)[None], closeness[None]]
    ).astype(np.float32)


def _floor(maps: np.ndarray, log_d: np.ndarray) -> np.ndarray | None:
    """The floor (3,) as its map tells it, inverse depth over (x, y, 1); None where there is none."""
    # Above the horizon and where the ratio is at its limit the map does not say.
    tells = (maps[FLOOR + 1] > 0.5) & (np.abs(maps[FLOOR]) < 0.98 * RATIO_LIMIT)
    if tells.sum() < 16:
        return None
    A = np.stack([maps[RAY_X][tells], maps[RAY_X + 1][tells], np.ones(tells.sum())], axis=1).astype(np.float64)
    d = np.exp(log_d[tells] + maps[FLOOR][tells]).astype(np.float64)
    floor = np.linalg.lstsq(A, d, rcond=None)[0]
    return floor if np.linalg.norm(floor) > 1e-9 else None


SWAPPED = (1, 0, 3, 2)  # where the sub-pixels of a cell are in a mirrored picture


def mirror(maps: np.ndarray) -> np.ndarray:
    """Maps (CHANNELS, h, w) of the same scene seen in a mirror, left and right changed."""
    out = np.ascontiguousarray(maps[..., ::-1])
    for group in range(0, FUSED, 4):
        out[group : group + 4] = out[group : group + 4][list(SWAPPED)]
    out[RAY_X] *= -1
    return out
