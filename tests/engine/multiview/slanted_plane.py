"""A slanted plane before a travelling camera: solved points on it, and maps that err by a scale and a shift."""

import numpy as np
from geo4d.geometry.camera import camera_rays, pixel_grid
from geo4d.matchmove.solve import Solve
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.tracking.tracks import Tracks

F, N = 6, 80
SIZE = (64, 36)


class Slanted:
    """Maps of a plane z = 4 + x / 2 whose inverse depth is wrong by a scale and a shift in every frame."""

    def __init__(self, c2w, lens):
        self.c2w, self.lens = c2w, lens.scaled(*SIZE)

    def true(self, i):
        rays = camera_rays(pixel_grid(*SIZE), self.lens) @ self.c2w[i, :3, :3].T
        centre = self.c2w[i, :3, 3]
        return (4 + centre[0] / 2 - centre[2]) / (rays[..., 2] - rays[..., 0] / 2)

    def frame(self, i):
        depth = 1 / ((1 / self.true(i) - 0.03) / (1.2 + 0.1 * i)).astype(np.float32)
        return DepthFrame(depth, np.ones_like(depth), np.zeros_like(depth))


def scene(motion="moving"):
    c2w = np.tile(np.eye(4), (F, 1, 1))
    c2w[:, 0, 3] = 0.1 * np.arange(F)
    one = np.ones(F)
    solve = Solve(
        width=640,
        height=360,
        motion=motion,
        c2w=c2w,
        fx=500 * one,
        fy=500 * one,
        cx=320 * one,
        cy=180 * one,
        k1=0.0,
        pose_source=np.zeros(F, np.uint8),
        reprojection_error_px=np.zeros(F, np.float32),
        points=np.zeros((0, 3)),
        points_rgb=np.zeros((0, 3), np.uint8),
        points_error_px=np.zeros(0, np.float32),
    )
    rng = np.random.default_rng(3)
    x = rng.uniform(-1.5, 1.5, N)
    X = np.stack([x, rng.uniform(-1, 1, N), 4 + x / 2], axis=1)
    track, frame = np.repeat(np.arange(N), F), np.tile(np.arange(F), N)
    seen = X[track] - c2w[frame, :3, 3]
    xy = (500 * seen[:, :2] / seen[:, 2:] + [320, 180]).astype(np.float32)
    tracks = Tracks(640, 360, F, track.astype(np.int32), frame.astype(np.int32), xy, np.zeros(N * F, np.float32), xyz=X)
    return solve, tracks, Slanted(c2w, solve.lens(0))
