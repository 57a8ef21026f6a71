"""Predicted maps reach the scene's size and its undistorted picture without inventing depth between surfaces."""

import numpy as np
from geo4d.geometry.camera import Intrinsics, distort, pixel_grid
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.predicted import to_pinhole

LENS = Intrinsics(640, 360, 500.0, 500.0, 320.0, 180.0, 0.0)


def frame_of(depth):
    return DepthFrame(depth.astype(np.float32), np.ones_like(depth, np.float32), np.zeros_like(depth, np.float32))


def test_no_depth_between_two_surfaces():
    depth = np.full((45, 64), 10.0)
    depth[:, :31] = 1.0
    out = to_pinhole(frame_of(depth), LENS, (160, 90)).depth
    assert set(np.unique(out)) == {1.0, 10.0}
    assert 76 <= (out[40] == 1.0).sum() <= 79  # the edge stays where it was, 31 of 64 pixels


def test_smooth_depth_is_interpolated():
    x = pixel_grid(64, 36)[..., 0]
    out = to_pinhole(frame_of(5.0 + 0.01 * x), LENS, (128, 72)).depth
    expected = 5.0 + 0.01 * pixel_grid(128, 72)[..., 0] / 2
    np.testing.assert_allclose(out[2:-2, 2:-2], expected[2:-2, 2:-2], rtol=1e-5)


def test_distorted_maps_are_straightened():
    lens = Intrinsics(64, 48, 50.0, 50.0, 32.0, 24.0, -0.1)
    # A picture whose depth is its own filmed x: the straightened one must hold where each pixel was filmed.
    out = to_pinhole(frame_of(100.0 + pixel_grid(64, 48)[..., 0]), lens, (64, 48)).depth
    straight = (pixel_grid(64, 48) - [32.0, 24.0]) / 50.0
    filmed = distort(straight, -0.1)[..., 0] * 50.0 + 32.0
    np.testing.assert_allclose(out[4:-4, 4:-4], 100.0 + filmed[4:-4, 4:-4], atol=0.05)
    assert not np.array_equal(out, 100.0 + pixel_grid(64, 48)[..., 0])


def test_nothing_stays_nothing():
    out = to_pinhole(frame_of(np.zeros((36, 64))), LENS, (128, 72))
    assert not out.depth.any() and not out.confidence.any()
