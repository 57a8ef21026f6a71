"""Edge-aware blurs and fills of sparse maps."""

import numpy as np
import pytest
from geo4d.multiview.fill import HALVINGS, Guide, fill, fill_roughly, spread, spread_over

RNG = np.random.default_rng(3)


def picture(h: int, w: int) -> np.ndarray:
    """Two plain halves with an edge between them, a little noise."""
    rgb = np.full((h, w, 3), 60, np.uint8)
    rgb[:, w // 2 :] = 190
    return rgb + RNG.integers(0, 6, rgb.shape, dtype=np.uint8)


@pytest.mark.parametrize("size", [(96, 160), (95, 161), (94, 162)])
def test_wide_blurs_of_a_smaller_picture_are_the_same(size):
    guide = Guide.of(picture(*size))
    # A weight and two weighted values, as fills blur them: what counts is their ratio.
    channels = np.ones((*size, 3), np.float32)
    channels[..., 1:] = RNG.random((*size, 2))
    channels[:, size[1] // 2 :, 1:] += 2  # which the picture's edge keeps apart
    scales = ((20.0, 1.0), (60.0, 0.5))
    whole = sum(np.float32(share) * spread(channels, guide, sigma) for sigma, share in scales)
    np.testing.assert_array_equal(spread_over(channels, guide, scales), whole)
    small = spread_over(channels, guide, scales, HALVINGS)
    assert small.shape == channels.shape and small.dtype == np.float32
    off = np.abs(small[..., 1:] / small[..., :1] - whole[..., 1:] / whole[..., :1])
    away = np.abs(np.arange(size[1]) - size[1] // 2) > 4
    assert off.mean() < 0.02
    assert off[:, away].max() < 0.1, "of a step of 2"


def test_a_plane_continues_over_a_hole_and_stops_at_an_edge():
    h, w = 96, 160
    guide = Guide.of(picture(h, w))
    x = np.broadcast_to(np.arange(w, dtype=np.float32), (h, w))
    left = np.where(x < w // 2, 1 + 0.004 * x, 5).astype(np.float32)
    weights = np.ones((h, w), np.float32)
    weights[30:66, 20:60] = 0
    weights[30:66, 90:140] = 0
    filled, support = fill(left, weights, guide)
    assert np.abs(filled / left - 1)[:, 4 : w // 2 - 4].max() < 0.02
    assert np.abs(filled / left - 1)[:, w // 2 + 4 :].max() < 0.02
    assert support[48, 40] < 0.01 < support[10, 40]


def test_nothing_known_is_filled_with_nothing():
    none = np.zeros((32, 32), np.float32)
    filled, support = fill(none, none, Guide.of(picture(32, 32)))
    assert not filled.any() and not support.any()


@pytest.mark.parametrize("size", [(96, 160), (95, 161)])
def test_a_rough_fill_is_nearly_the_fill(size):
    h, w = size
    guide = Guide.of(picture(h, w))
    x = np.broadcast_to(np.arange(w, dtype=np.float32), size)
    values = np.where(x < w // 2, 1 + 0.004 * x, 5).astype(np.float32)
    weights = (RNG.random(size) < 0.2).astype(np.float32)
    weights[30:60, 20:50] = 0
    rough, whole = fill_roughly(values, weights, guide), fill(values, weights, guide)[0]
    assert rough.shape == size and rough.dtype == np.float32
    away = np.abs(x - w // 2) > 3
    assert np.abs(rough / whole - 1)[away].max() < 0.03
