"""Predicted depth is brought to the refined points: by scale and shift of inverse depth, as far as these are seen."""

import numpy as np
import pytest
from geo4d.geometry.camera import camera_rays, pixel_grid
from geo4d.matchmove.solve import Solve
from geo4d.multiview.agreement import correct_depth, fit_inverse
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.tracking.tracks import Tracks

F, N = 6, 80
SIZE = (64, 36)


def test_scale_and_shift_of_a_deep_scene():
    rng = np.random.default_rng(0)
    true = rng.uniform(1, 12, 200)
    predicted = 1 / ((1 / true - 0.05) / 0.8) * np.exp(0.01 * rng.standard_normal(200))
    predicted[:60] *= np.exp(rng.standard_normal(60))  # nearly a third are wrong
    a, b = fit_inverse(predicted, true)
    assert a == pytest.approx(0.8, abs=0.03) and b == pytest.approx(0.05, abs=0.006)


def test_a_flat_scene_shows_no_shift():
    rng = np.random.default_rng(1)
    true = rng.uniform(4.9, 5.1, 60)
    predicted = 1.3 * true * np.exp(0.03 * rng.standard_normal(60))
    a, b = fit_inverse(predicted, true)
    assert a == pytest.approx(1.3, rel=0.03)
    assert abs(b) < 0.01 / 5


def test_few_points_show_less_of_a_shift_than_many():
    rng = np.random.default_rng(2)
    true = rng.uniform(2, 8, 2000)
    predicted = 1 / (1 / true - 0.04) * np.exp(0.1 * rng.standard_normal(2000))
    few, many = fit_inverse(predicted[:20], true[:20])[1], fit_inverse(predicted, true)[1]
    assert abs(few) < abs(many) and many == pytest.approx(0.04, abs=0.01)


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


def test_maps_agree_with_the_points_afterwards():
    solve, tracks, maps = scene()
    correction = correct_depth(maps, solve, tracks)
    for i in range(1, F - 1):
        raw = maps.frame(i).depth
        off = np.abs(correction.apply(raw, i) / maps.true(i) - 1)
        factor = np.median(maps.true(i) / raw)
        assert off.max() < 0.02
        assert off.mean() < 0.3 * np.abs(factor * raw / maps.true(i) - 1).mean()


def test_a_camera_at_rest_has_no_points_to_go_by():
    solve, tracks, maps = scene("static")
    correction = correct_depth(maps, solve, tracks)
    assert (correction.scale == 1).all() and not correction.shift.any()


def test_moving_points_have_no_say():
    solve, tracks, maps = scene()
    tracks.static[: N // 2] = False
    tracks.xyz[: N // 2] *= 3
    still = correct_depth(maps, solve, tracks)
    assert np.abs(still.apply(maps.frame(2).depth, 2) / maps.true(2) - 1).max() < 0.02


def test_what_is_far_stays_ahead_and_nothing_stays_nothing():
    solve, tracks, maps = scene()
    correction = correct_depth(maps, solve, tracks)
    correction.shift[:] = -0.5
    out = correction.apply(np.array([[0.0, 1.0, 1e4]], np.float32), 0)
    assert out[0, 0] == 0 and np.isfinite(out).all() and (out[0, 1:] > 0).all()
