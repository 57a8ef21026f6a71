"""Predictions that a video network might make of a scene whose truth is known, with the errors such networks have.

Low-frequency warps of depth that change slowly over a window, a drifting scale, cameras that tremble, noise, blobs
and single pixels that are plainly wrong, and every window in its own scale with an unknown offset of z.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from geo4d.geometry.camera import Intrinsics, camera_rays, invert_pose, pixel_grid
from geo4d.geometry.rotation import rotations_from_vectors
from geo4d.models.prediction import Prediction
from geo4d.windows import cut_windows


@dataclass(frozen=True)
class Errors:
    """Standard deviations; lengths relative to depth."""

    warp: float = 0.03  # of log depth, smooth over the picture, slow in time
    drift: float = 0.02  # of the scale from a window's begin to its end
    tremble: float = 0.004  # of the scale of single frames
    turn_deg: float = 0.1  # of a frame's camera within a window
    shift: float = 0.003
    noise: float = 0.01  # of single pixels
    outliers: float = 0.3  # share of pixels, a third of them in blobs
    aware: float = 0.5  # weight of an outlier: the network is half aware of them
    disparity_warp: float = 0.02
    path_turn_deg: float = 0.3  # of the cameras that ray maps stand for
    path_shift: float = 0.01


EXACT = Errors(**{name: 0.0 for name in Errors.__dataclass_fields__})


@dataclass
class Truth:
    """A shot whose truth is known. ``depth(i)`` is (h, w) z-depth in the filmed picture, 0 = none."""

    c2w: np.ndarray  # (F, 4, 4)
    lenses: list[Intrinsics]  # of each frame, footage pixels
    depth: Callable[[int], np.ndarray]
    moving: Callable[[int], np.ndarray] | None = None

    @property
    def footage_size(self) -> tuple[int, int]:
        return self.lenses[0].width, self.lenses[0].height

    def __len__(self) -> int:
        return len(self.c2w)


class SimulatedWindows(Sequence):
    """Windows of a truth at ``size`` = (w, h), made anew each time they are asked for, always the same.

    ``modalities`` : any of points, disparity, rays, depth (with cameras and lens), confidence.
    ``failed`` : windows that hold noise (even numbers) or NaN (odd numbers).
    """

    def __init__(
        self,
        truth: Truth,
        size: tuple[int, int],
        errors: Errors = Errors(),
        modalities: tuple[str, ...] = ("points", "disparity", "rays"),
        length: int = 16,
        stride: int = 4,
        failed: tuple[int, ...] = (),
        seed: int = 0,
    ):
        self.truth, self.size, self.errors, self.modalities = truth, size, errors, modalities
        self.windows = [np.unique(w) for w in cut_windows(len(truth), length, stride)]
        self.failed, self.seed = failed, seed

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, number: int) -> Prediction:
        if not 0 <= number < len(self):
            raise IndexError(number)
        rng = np.random.default_rng([self.seed, number])
        positions, e, (w, h) = self.windows[number], self.errors, self.size
        T = len(positions)
        depth = np.stack([cv2.resize(self.truth.depth(i), (w, h), interpolation=cv2.INTER_NEAREST) for i in positions])
        known = depth > 0
        usual = float(np.median(depth[known]))
        c2w = invert_pose(self.truth.c2w[positions[0]]) @ self.truth.c2w[positions]
        time = np.linspace(-0.5, 0.5, T)
        scale = np.exp(e.drift * rng.standard_normal() * time + e.tremble * rng.standard_normal(T))
        said = depth * (scale[:, None, None] * np.exp(e.warp * warps(rng, T, h, w))).astype(np.float32)
        wrong = blobs(rng, T, h, w, e.outliers / 3) | (rng.random((T, h, w)) < e.outliers * 2 / 3)
        single = e.noise * rng.standard_normal((T, h, w), dtype=np.float32)
        gross = 0.5 * rng.standard_normal((T, h, w), dtype=np.float32)
        said = said * np.exp(single + gross * wrong)
        cameras = tremble(rng, c2w, e.turn_deg, e.shift * usual)
        p = Prediction(positions=positions, width=w, height=h)
        sureness = np.exp(0.3 * rng.standard_normal((T, h, w), dtype=np.float32)) * np.where(wrong, e.aware, 1.0)
        sureness = np.where(known, sureness, 0.0).astype(np.float32)
        rays = np.stack([self._rays(i) for i in positions])
        if "points" in self.modalities:
            lateral = e.noise / 3 * rng.standard_normal((T, h, w, 2), dtype=np.float32)
            X = (rays + np.concatenate([lateral, np.zeros_like(lateral[..., :1])], -1)) * said[..., None]
            X = np.einsum("tij,thwj->thwi", cameras[:, :3, :3], X) + cameras[:, None, None, :3, 3]
            low, high = np.percentile(X[..., 2][known], [2, 98])
            X[..., 2] -= low
            p.points, p.points_weight, p.points_z_offset = (X / (high - low)).astype(np.float32), sureness, True
        if "disparity" in self.modalities:
            flat = e.disparity_warp * warps(rng, T, h, w) + e.noise * rng.standard_normal((T, h, w))
            inverse = np.exp(flat) / np.where(known, depth, 1.0)
            low, high = np.percentile(inverse[known], [2, 98])
            p.disparity = np.where(known, (inverse - low) / (high - low), -0.02).astype(np.float32)
        if "rays" in self.modalities:
            path = tremble(rng, c2w, e.path_turn_deg, e.path_shift * usual)
            rows, columns = np.arange(4, h, 8), np.arange(4, w, 8)
            d = np.einsum("tij,thwj->thwi", path[:, :3, :3], rays[:, rows][:, :, columns])
            p.ray_direction = (d / np.linalg.norm(d, axis=-1, keepdims=True)).astype(np.float32)
            centre = path[:, None, None, :3, 3] / (3 * usual)
            p.ray_moment = np.cross(np.broadcast_to(centre, d.shape), p.ray_direction).astype(np.float32)
        if "depth" in self.modalities:
            own = float(np.exp(0.3 * rng.standard_normal()))
            p.depth = (own * said).astype(np.float32)
            p.c2w = cameras.copy()
            p.c2w[:, :3, 3] *= own
            p.confidence = 1 + 10 * sureness
            lens = [self.truth.lenses[i].scaled(w, h) for i in positions]
            wobble = np.exp(e.warp / 3 * rng.standard_normal())
            p.fx, p.fy = (wobble * np.array([getattr(one, name) for one in lens]) for name in ("fx", "fy"))
        if number in self.failed:
            spoil(p, rng, number)
        return p

    def _rays(self, frame: int) -> np.ndarray:
        w, h = self.size
        return camera_rays(pixel_grid(w, h), self.truth.lenses[frame].scaled(w, h)).astype(np.float32)


def spoil(p: Prediction, rng: np.random.Generator, number: int) -> None:
    for name in ("points", "disparity", "depth", "ray_direction", "ray_moment"):
        maps = getattr(p, name)
        if maps is not None:
            noise = rng.random(maps.shape, dtype=np.float32) + 0.1
            setattr(p, name, noise if number % 2 == 0 else np.full_like(maps, np.nan))


def warps(rng: np.random.Generator, T: int, h: int, w: int) -> np.ndarray:
    """Smooth fields (T, h, w) of about unit deviation that change slowly with time."""
    rows, columns = (np.cos(np.pi * np.arange(4)[:, None] * (np.arange(n) + 0.5) / n) for n in (h, w))
    begin, change = rng.standard_normal((2, 4, 4)) / (1 + np.add.outer(np.arange(4), np.arange(4)))
    t = np.linspace(-0.5, 0.5, T)[:, None, None]
    return (np.swapaxes(rows, 0, 1) @ (begin + 0.5 * t * change) @ columns).astype(np.float32)


def blobs(rng: np.random.Generator, T: int, h: int, w: int, share: float) -> np.ndarray:
    """Mask (T, h, w) of about ``share``, in spots of a twelfth of the picture."""
    if share <= 0:
        return np.zeros((T, h, w), dtype=bool)
    coarse = rng.random((T, 12, 12)).astype(np.float32)
    smooth = np.stack([cv2.resize(c, (w, h), interpolation=cv2.INTER_CUBIC) for c in coarse])
    return smooth > np.quantile(smooth, 1 - share)


def tremble(rng: np.random.Generator, c2w: np.ndarray, turn_deg: float, shift: float) -> np.ndarray:
    """Poses, but for the first, each a little off."""
    off = np.tile(np.eye(4), (len(c2w), 1, 1))
    off[1:, :3, :3] = rotations_from_vectors(np.radians(turn_deg) / 3**0.5 * rng.standard_normal((len(c2w) - 1, 3)))
    off[1:, :3, 3] = shift / 3**0.5 * rng.standard_normal((len(c2w) - 1, 3))
    return c2w @ off
