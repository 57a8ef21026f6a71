"""Planes through measured points: found whatever else there is, and offered where their points are."""

import numpy as np
from geo4d.multiview import network_input
from geo4d.multiview.planes import OFFERED, find_planes, offered_planes

H, W = 48, 64
X, Y = (v.astype(np.float32) for v in np.meshgrid(np.linspace(-0.6, 0.6, W), np.linspace(-0.45, 0.45, H)))
WALL, FLOOR = np.array([0.05, 0.0, 0.25]), np.array([0.0, 0.8, 0.05])  # inverse depth over (x, y, 1)


def room(noise: float = 0.0, seed: int = 0):
    """Inverse depth of a wall over a floor, and where the floor is."""
    planes = [p[0] * X + p[1] * Y + p[2] for p in (WALL, FLOOR)]
    d = np.maximum(*planes)
    rng = np.random.default_rng(seed)
    return (d * np.exp(rng.normal(0, noise, d.shape))).astype(np.float32), planes[1] > planes[0]


def off(plane, true):
    """Largest difference between two planes over the picture's corners."""
    corners = np.array([[-0.6, -0.45, 1], [0.6, -0.45, 1], [-0.6, 0.45, 1], [0.6, 0.45, 1]])
    return np.abs(corners @ (plane - true)).max()


def test_both_planes_are_found_among_outliers():
    d, _ = room(0.01)
    rng = np.random.default_rng(1)
    wild = rng.random(d.shape) < 0.25
    d[wild] *= np.exp(rng.uniform(-1, 1, wild.sum()))
    planes = find_planes(X.ravel(), Y.ravel(), d.ravel(), np.ones(d.size, np.float32))
    assert len(planes) >= 2
    for true in (WALL, FLOOR):
        assert min(off(p, true) for p in planes[:3]) < 0.02


def test_points_without_weight_say_nothing():
    d, floor = room()
    weight = np.where(floor, 0.0, 1.0).astype(np.float32)
    planes = find_planes(X.ravel(), Y.ravel(), d.ravel(), weight.ravel())
    assert off(planes[0], WALL) < 1e-3
    assert len(find_planes(X.ravel(), Y.ravel(), d.ravel(), 0 * weight.ravel())) == 0


def test_a_plain_floor_is_offered_the_plane_of_its_measured_rim():
    """Measured only at its sides; a colour of its own; the middle, unmeasured, is offered the right plane first."""
    d, floor = room()
    rgb = np.where(floor[..., None], 60, 180).astype(np.uint8).repeat(3, 2)
    hidden = floor & (np.abs(X) < 0.4)
    weight = np.where(hidden, 0, 0.5).astype(np.float32)
    guess = np.where(hidden, 0.25, d).astype(np.float32)
    on, share = offered_planes(rgb, X, Y, guess, weight)
    assert on.shape == share.shape == (OFFERED, H, W)
    inside = hidden & (Y > 0.3)
    assert np.abs(on[0] / d - 1)[inside].mean() < 0.02
    assert (share[0] > 0.6)[inside].mean() > 0.9
    wall = ~floor & (Y < -0.1)
    assert np.abs(on[0] / d - 1)[wall].mean() < 0.02
    assert (np.diff(share, axis=0) <= 1e-6).all(), "the best supported comes first"
    assert (on >= 0).all() and share.min() >= 0 and share.max() <= 1 + 1e-5


def test_nothing_is_offered_where_nothing_was_measured():
    d, _ = room()
    on, share = offered_planes(np.zeros((H, W, 3), np.uint8), X, Y, d, np.zeros_like(d))
    assert not on.any() and not share.any()


def test_maps_carry_planes_as_ratios_to_the_depth_they_correct():
    d, floor = room()
    maps = np.zeros((network_input.PLANES, H, W), np.float32)
    wrong = np.where(floor & (np.abs(X) < 0.4), 0.25, d)
    maps[:12] = np.where(floor, -0.3, 0.2)
    maps[12:16] = np.log(wrong)
    maps[network_input.FUSED + 1] = wrong == d
    maps[network_input.RAY_X], maps[network_input.RAY_X + 1] = X, Y
    full = network_input.with_guesses(maps)
    assert full.shape == (network_input.CHANNELS, H, W)
    np.testing.assert_array_equal(full[: network_input.PLANES], maps)
    corrected = np.log(wrong) + full[network_input.PLANES]
    part = (wrong != d) & (Y > 0.3)
    assert np.abs(corrected - np.log(d))[part].mean() < 0.1 * np.abs(np.log(wrong / d))[part].mean()
