"""Tiny textured worlds of planes and boxes, ray-cast exactly in NumPy: frames, depth and mover mask."""

import cv2
import numpy as np
from geo4d.geometry.camera import Intrinsics, camera_rays, distort, pixel_grid
from geo4d.matchmove.solve import Solve
from geo4d.tracking.tracks import Tracks

W, H, F = 224, 168, 11


def noise_texture(seed: int, size: int = 512) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = np.zeros((size, size), dtype=np.float32)
    for scale in (1.5, 4, 12):
        layer = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), scale)
        out += layer / layer.std()
    return np.clip(128 + 32 * out, 0, 255).astype(np.float32)


TEXTURES = [noise_texture(k) for k in range(3)]


class World:
    """Floor y = 1 (down is +y), back wall z = 6, and an upright card standing on the floor."""

    def __init__(self, card_step: float = 0.0, travel: float = 0.5, k1: float = 0.0, card: bool = True):
        self.width, self.height, self.fps, self.path = W, H, 24.0, "plane_world"
        self.indices = np.arange(F)
        self.times = self.indices / self.fps
        self.lens = Intrinsics(W, H, 190.0, 190.0, W / 2, H / 2, k1)
        self.c2w = np.tile(np.eye(4), (F, 1, 1))
        self.c2w[:, 0, 3] = np.linspace(-travel / 2, travel / 2, F)
        self.c2w[:, 1, 3] = 0.1 * travel * np.sin(np.linspace(0, 3, F))
        self.card_step, self.card = card_step, card

    def __len__(self):
        return F

    def cast(self, i: int, pixels: np.ndarray, lens: Intrinsics):
        """Grey value, z-depth and card mask at pixels (h, w, 2)."""
        rays = camera_rays(pixels, lens)  # the cameras do not turn: camera axes are the world's
        c = self.c2w[i, :3, 3]
        with np.errstate(divide="ignore"):
            floor = np.where(rays[..., 1] > 0, (1.0 - c[1]) / rays[..., 1], np.inf)
        depth = np.full(rays.shape[:2], 6.0 - c[2])
        which = np.zeros(depth.shape, dtype=int)
        which[floor < depth] = 1
        depth = np.minimum(depth, floor)
        left = -0.3 + self.card_step * (i - F // 2)
        bob = 0.5 * abs(self.card_step) * np.sin(1.3 * i)
        at = rays * (3.0 - c[2]) + c
        on = (at[..., 0] > left) & (at[..., 0] < left + 0.6) & (at[..., 1] > -0.5) & (at[..., 1] < 1) & self.card
        which[on], depth = 2, np.where(on, 3.0 - c[2], depth)
        X = rays * depth[..., None] + c
        u = np.select([which == 0, which == 1], [X[..., 0], X[..., 0]], X[..., 0] - left + 0.3)
        v = np.select([which == 0, which == 1], [X[..., 1], X[..., 2]], X[..., 1] + bob)
        grey = np.zeros(depth.shape, dtype=np.float32)
        for k, texture in enumerate(TEXTURES):
            x, y = ((a * 40 + 256) % 510 for a in (u, v))
            value = cv2.remap(texture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
            grey = np.where(which == k, value * (1.0, 0.75, 0.55)[k], grey)
        return grey, depth.astype(np.float32), on

    def read(self, size=None, gray=False, start=0):
        assert size in (None, (W, H)) and not gray
        rng = np.random.default_rng(7)
        for i in range(start, F):
            grey, _, _ = self.cast(i, pixel_grid(W, H), self.lens)
            grey = grey + rng.normal(0, 1.5, grey.shape)
            yield np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    def truth(self, i: int):
        """Depth and card mask of the undistorted picture."""
        _, depth, card = self.cast(i, pixel_grid(W, H), self.lens.pinhole())
        return depth, card

    def solve(self, motion: str = "moving") -> Solve:
        rng = np.random.default_rng(1)
        floor = np.stack([rng.uniform(-2, 2, 300), np.full(300, 1.0), rng.uniform(2, 6, 300)], axis=1)
        wall = np.stack([rng.uniform(-3, 3, 300), rng.uniform(-2, 1, 300), np.full(300, 6.0)], axis=1)
        points = np.concatenate([floor, wall])
        one = np.ones(F)
        lens = self.lens
        return Solve(
            W, H, motion, self.c2w, one * lens.fx, one * lens.fy, one * lens.cx, one * lens.cy, lens.k1,
            np.zeros(F, np.uint8), 0.3 * one.astype(np.float32), points,
            np.zeros((len(points), 3), np.uint8), np.full(len(points), 0.3, np.float32),
        )  # fmt: skip

    def tracks(self) -> Tracks:
        """Exact tracks of the wall and floor points and of a grid on the card."""
        points = self.solve().points
        card = np.stack(np.meshgrid(np.linspace(-0.25, 0.25, 8), np.linspace(-0.4, 0.9, 12)), axis=-1).reshape(-1, 2)
        track, frame, xy = [], [], []
        for i in range(F):
            left = self.card_step * (i - F // 2)
            bob = 0.5 * abs(self.card_step) * np.sin(1.3 * i)
            moved = np.c_[card[:, 0] + left, card[:, 1] - bob, np.full(len(card), 3.0)]
            X = np.concatenate([points, moved]) - self.c2w[i, :3, 3]
            pixel = distort(X[:, :2] / X[:, 2:], self.lens.k1) * self.lens.fx + [self.lens.cx, self.lens.cy]
            seen = np.flatnonzero(np.all((pixel > 0) & (pixel < [W, H]), axis=1))
            track.append(seen)
            frame.append(np.full(len(seen), i))
            xy.append(pixel[seen])
        track, frame, xy = np.concatenate(track), np.concatenate(frame), np.concatenate(xy)
        names, track = np.unique(track, return_inverse=True)
        order = np.lexsort((frame, track))
        static = names < len(points)
        xyz = np.where(static[:, None], np.concatenate([points, np.full((len(card), 3), np.nan)])[names], np.nan)
        return Tracks(
            W, H, F, track[order].astype(np.int32), frame[order].astype(np.int32), xy[order].astype(np.float32),
            np.zeros(len(order), np.float32), static=static, xyz=xyz,
        )  # fmt: skip
