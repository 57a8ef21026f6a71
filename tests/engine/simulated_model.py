"""What a perfect or a noisy model would predict for a sample clip, from the clip's truth."""

import cv2
import numpy as np
from geo4d.evaluation.ground_truth import GroundTruth
from geo4d.geometry.camera import Intrinsics, pixel_grid
from geo4d.models.prediction import Prediction


def geo4d_like(
    truth: GroundTruth, positions: np.ndarray, size: tuple[int, int], noise: float = 0.0, seed: int = 0
) -> Prediction:
    """Point maps, disparity and ray maps of one window as Geo4D would return them, at ``size`` = (w, h).

    Points are in units of the window's own depth range with an unknown offset of z, disparity in its own scale and
    shift, rays at half the size. ``noise`` is the relative deviation of depth and the deviation of ray directions,
    both smooth over some pixels; 5 % of the depths are wrong by a factor where it is not zero.
    """
    w, h = size
    rng = np.random.default_rng([seed, int(positions[0])])

    def smooth(deviation: float, cell: int, width: int, height: int, channels: int) -> np.ndarray:
        cells = rng.normal(0, deviation, (len(positions), max(height // cell, 1), max(width // cell, 1), channels))
        grown = [cv2.resize(c.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC) for c in cells]
        return np.stack(grown).reshape(len(positions), height, width, channels)

    lens = Intrinsics(truth.width, truth.height, truth.K[0, 0], truth.K[1, 1], truth.K[0, 2], truth.K[1, 2])
    rays = _rays(lens.scaled(w, h))
    z = np.stack([cv2.resize(truth.depth(int(p)), size, interpolation=cv2.INTER_NEAREST) for p in positions])
    valid = z > 0
    if noise:
        z = z * (1 + smooth(noise, 8, w, h, 1)[..., 0])
        z = np.where(rng.random(z.shape) < 0.05, z * rng.uniform(0.5, 2.0, z.shape), z)
    c2w = np.linalg.inv(truth.c2w[positions[0]]) @ truth.c2w[positions]
    points = np.einsum("tij,thwj->thwi", c2w[:, :3, :3], z[..., None] * rays) + c2w[:, None, None, :3, 3]
    if noise:  # a network is off across the ray as well
        points += smooth(0.3 * noise, 16, w, h, 3) * z[..., None]
    low, high = np.quantile(points[..., 2][valid], (0.02, 0.98))
    s = high - low
    points = points / s
    points[..., 2] -= low / s
    disparity = 1 / np.maximum(z, 1e-3)
    d_low, d_high = np.quantile(disparity[valid], (0.02, 0.98))
    coarse = _rays(lens.scaled(w // 2, h // 2))
    direction = np.einsum("tij,hwj->thwi", c2w[:, :3, :3], coarse / np.linalg.norm(coarse, axis=-1, keepdims=True))
    if noise:
        direction += smooth(noise, 16, w // 2, h // 2, 3)
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    moment = np.cross(np.broadcast_to(c2w[:, None, None, :3, 3] / s, direction.shape), direction)
    as_float = np.float32
    return Prediction(
        positions=np.asarray(positions, dtype=np.int64),
        width=w,
        height=h,
        points=points.astype(as_float),
        points_weight=(valid / (0.01 + noise)).astype(as_float),
        points_z_offset=True,
        disparity=((disparity - d_low) / (d_high - d_low)).astype(as_float),
        ray_direction=direction.astype(as_float),
        ray_moment=moment.astype(as_float),
    )


def _rays(lens: Intrinsics) -> np.ndarray:
    """(h, w, 3) directions with z = 1 through the pixel centres."""
    xy = (pixel_grid(lens.width, lens.height) - lens.centre) / lens.focal
    return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)
