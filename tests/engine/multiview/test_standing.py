"""What stands on the floor: as far as the floor is where it ends."""

import numpy as np
import pytest
from geo4d.multiview import network_input
from geo4d.multiview.standing import standing

H, W = 96, 128
HEIGHT, PITCH = 1.4, np.radians(15.0)  # metres above the floor, looking down
X, Y = (v.astype(np.float32) for v in np.meshgrid(np.linspace(-0.6, 0.6, W), np.linspace(-0.45, 0.45, H)))
UP = np.array([0.0, -np.cos(PITCH), -np.sin(PITCH)])  # from the floor to the camera, in its axes
FLOOR = -UP / HEIGHT
WALL, BOX = 4.0, 2.5  # metres along the floor


def upright_plane(distance):
    """Inverse depth (H, W) of an upright wall across the camera's way."""
    level = np.array([0.0, -np.sin(PITCH), np.cos(PITCH)])
    return (X * level[0] + Y * level[1] + level[2]) / distance


@pytest.fixture
def scene():
    """A blue wall and a red box before it on a grey floor: true inverse depth, picture, and which is which."""
    d_floor = FLOOR[0] * X + FLOOR[1] * Y + FLOOR[2]
    wall, box = upright_plane(WALL), upright_plane(BOX)
    in_box = (np.abs(X) < 0.2) & (box > d_floor) & (Y > -0.1)
    on_floor = (d_floor > wall) & ~in_box
    d = np.where(in_box, box, np.maximum(wall, d_floor))
    rgb = np.where(in_box[..., None], [180, 30, 30], np.where(on_floor[..., None], 110, [40, 60, 150]))
    return d.astype(np.float32), rgb.astype(np.uint8), in_box, on_floor


def test_a_box_and_a_wall_that_nobody_measured_stand_where_the_floor_ends(scene):
    d, rgb, in_box, on_floor = scene
    wrong = np.where(on_floor, d, 1.4 * d).astype(np.float32)
    weight = on_floor.astype(np.float32)
    got, closeness = standing(rgb, X, Y, wrong, weight, np.zeros_like(d), FLOOR)
    off = np.abs(got / d - 1)
    assert np.median(off[in_box]) < 0.03
    wall = ~in_box & ~on_floor & ~in_box.any(axis=0)
    assert np.median(off[wall]) < 0.03
    assert np.median(off[on_floor]) < 0.01
    assert closeness[on_floor].min() > 0.9
    assert closeness[in_box].min() < closeness[in_box].max() < 1


def test_without_floor_below_nothing_is_said(scene):
    d, rgb, _, on_floor = scene
    got, closeness = standing(rgb, X, Y, 2.0 * d, on_floor.astype(np.float32), np.zeros_like(d), FLOOR)
    assert not got.any() and not closeness.any()


def test_networks_input_reads_the_floor_from_its_map(scene):
    """The channels that are stored are enough to find the floor's plane again, horizon and limits included."""
    d, rgb, in_box, on_floor = scene
    d_floor = FLOOR[0] * X + FLOOR[1] * Y + FLOOR[2]
    maps = np.zeros((network_input.PLANES, H, W), np.float32)
    maps[:12] = np.repeat(rgb.transpose(2, 0, 1) / 255 - 0.5, 4, axis=0)
    base = np.where(on_floor, d, 1.4 * d)
    maps[12:16] = np.log(base)
    limit = network_input.RATIO_LIMIT
    maps[network_input.FLOOR] = np.clip(np.log(np.maximum(d_floor, 1e-12) / base), -limit, limit)
    maps[network_input.FLOOR + 1] = 1
    maps[network_input.FUSED + 1] = on_floor
    maps[network_input.RAY_X], maps[network_input.RAY_X + 1] = X, Y
    full = network_input.with_guesses(maps)
    assert full.shape == (network_input.CHANNELS, H, W)
    corrected = base * np.exp(full[network_input.STANDING])
    assert np.median(np.abs(corrected / d - 1)[in_box]) < 0.03
    maps[network_input.FLOOR + 1] = 0
    assert not network_input.with_guesses(maps)[network_input.STANDING :].any()
