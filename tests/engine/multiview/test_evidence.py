"""Motion that joins its mover, and measurements that the surface around them contradicts."""

import numpy as np
from geo4d.multiview import dynamic
from geo4d.multiview.fill import Guide, distrust_outliers, fill

H, W = 120, 160


def test_weak_motion_joins_a_mover_beside_it_and_nothing_else():
    moving = np.full((H, W), 0.02, dtype=np.float32)
    moving[20:60, 40:60] = 0.95
    moving[60:66, 44:56] = 0.3  # a planted leg
    moving[90:110, 120:150] = 0.3  # weak motion far from any mover
    moving[30:50, 58:62] = 0.1  # beside it, but calm
    moving[20:60, 40:60] = 0.95
    grown = dynamic.grow(moving)
    assert np.all(grown[60:66, 44:56] > 0.5)
    np.testing.assert_array_equal(grown[90:110, 120:150], moving[90:110, 120:150])
    assert np.all(grown[30:50, 60:62] < 0.5)
    assert np.all(grown >= moving)
    assert not np.any(dynamic.grow(np.full((H, W), 0.4, dtype=np.float32)) > 0.5)


def test_a_mirrored_spot_loses_its_say_on_a_plane():
    x, y = np.meshgrid(np.arange(W), np.arange(H))
    plane = (0.2 + 0.001 * x + 0.002 * y).astype(np.float32)
    rng = np.random.default_rng(0)
    measured = rng.random((H, W)) < 0.3
    spot = np.zeros((H, W), dtype=bool)
    spot[56:64, 76:84] = True
    values = np.where(spot, 0.4 * plane, plane).astype(np.float32)
    weights = np.where(measured, 1.0, 0.0).astype(np.float32)
    guide = Guide.of(np.full((H, W, 3), 128, dtype=np.uint8))
    kept = distrust_outliers(values, weights, guide)
    assert np.all(kept <= weights) and np.all(kept[~measured] == 0)
    assert kept[spot & measured].max() < 0.3
    around = measured & ~spot
    assert np.median(kept[around]) > 0.9
    before = np.abs(fill(values, weights, guide)[0] - plane)[spot].mean()
    after = np.abs(fill(values, kept, guide)[0] - plane)[spot].mean()
    assert after < 0.6 * before
