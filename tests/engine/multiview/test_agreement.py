"""Predicted depth is brought to the refined points: by scale and shift of inverse depth, as far as these are seen."""

import numpy as np
import pytest
from geo4d.multiview.agreement import correct_depth, fit_inverse
from slanted_plane import F, N, scene


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
