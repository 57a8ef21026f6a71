from pathlib import Path

import numpy as np
import pytest
from geo4d.evaluation.depth_metrics import DepthErrors, fit_scale, fit_scale_shift
from test_pose_metrics import read_safetensors

GOLDEN = Path(__file__).parents[4] / "shared/geo4d/golden/depth_metrics.safetensors"


def test_matches_the_published_protocol():
    if not GOLDEN.is_file():
        pytest.skip("the reference vectors of the published protocol are not on this machine")
    arrays, expected = read_safetensors(GOLDEN)
    expected = expected["default_protocol"]
    valid = (arrays["gt"] > 0) & (arrays["gt"] < 70)
    fit = valid & arrays["align_mask"]
    s, t = fit_scale_shift(arrays["pred"][fit], arrays["gt"][fit])
    assert s == pytest.approx(expected["s"], abs=1e-3)
    assert t == pytest.approx(expected["t"], abs=1e-3)
    errors = DepthErrors()
    errors.add(np.clip(s * arrays["pred"][valid] + t, None, 70), arrays["gt"][valid])
    assert errors.pixels == expected["valid_pixels"]
    assert errors.abs_rel == pytest.approx(expected["Abs Rel"], rel=1e-3)
    assert errors.sq_rel == pytest.approx(expected["Sq Rel"], rel=1e-3)
    assert errors.rmse == pytest.approx(expected["RMSE"], rel=1e-3)
    assert errors.log_rmse == pytest.approx(expected["Log RMSE"], rel=1e-3)
    assert errors.delta == pytest.approx(expected["δ < 1.25"])


@pytest.mark.parametrize("protocol", ["default_protocol", "kitti_protocol", "lstsq", "scale_only_weiszfeld"])
def test_every_published_alignment_has_its_errors(protocol):
    if not GOLDEN.is_file():
        pytest.skip("the reference vectors of the published protocol are not on this machine")
    arrays, expected = read_safetensors(GOLDEN)
    expected, tolerance = expected[protocol], 1e-4
    valid = (arrays["gt"] > 0) & (arrays["gt"] < 70)
    depth, truth = arrays["pred"][valid], arrays["gt"][valid]
    if protocol == "lstsq":
        s, t = np.polyfit(depth.astype(np.float64), truth, 1)
    elif protocol == "scale_only_weiszfeld":
        # That is ten steps of an iteration towards the L1 scale; the median ratio is where it comes from.
        s, t, tolerance = fit_scale(depth, truth), 0.0, 1e-2
    else:
        s, t = expected["s"], expected["t"]
    errors = DepthErrors()
    errors.add(np.clip(s * depth + t, None, 70), truth)
    assert errors.abs_rel == pytest.approx(expected["Abs Rel"], rel=tolerance)
    assert errors.sq_rel == pytest.approx(expected["Sq Rel"], rel=tolerance)
    assert errors.rmse == pytest.approx(expected["RMSE"], rel=tolerance)
    assert errors.log_rmse == pytest.approx(expected["Log RMSE"], rel=tolerance)
    assert errors.deltas == tuple(expected[f"δ < 1.25{power}"] for power in ("", "^2", "^3"))


def test_fits_ignore_outliers():
    rng = np.random.default_rng(1)
    depth = rng.uniform(1, 5, 5000)
    truth = 2.5 * depth + 0.75
    truth[:1000] = rng.uniform(20, 60, 1000)
    s, t = fit_scale_shift(depth, truth)
    assert s == pytest.approx(2.5, abs=1e-3) and t == pytest.approx(0.75, abs=3e-3)
    truth = 3.0 * depth
    truth[:1000] = 100.0
    assert fit_scale(depth, truth) == pytest.approx(3.0)


def test_the_l1_fit_is_the_minimum():
    rng = np.random.default_rng(2)
    depth = rng.uniform(1, 5, 3000)
    truth = 1.3 * depth + 0.4 + rng.laplace(0, 0.3, 3000)
    s, t = fit_scale_shift(depth, truth)
    best = np.abs(s * depth + t - truth).mean()
    for ds, dt in [(1e-3, 0), (-1e-3, 0), (0, 3e-3), (0, -3e-3), (1e-3, -3e-3)]:
        assert np.abs((s + ds) * depth + t + dt - truth).mean() > best - 1e-7


def test_constant_depth_can_only_be_shifted():
    s, t = fit_scale_shift(np.full(100, 2.0), np.linspace(1, 3, 100))
    assert s * 2.0 + t == pytest.approx(2.0, abs=0.02)


def test_errors_of_known_values():
    errors = DepthErrors()
    errors.add(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    errors.add(np.array([6.0, 12.0]), np.array([5.0, 10.0]))
    assert errors.abs_rel == pytest.approx((0 + 0.5 + 0.2 + 0.2) / 4)
    assert errors.delta == pytest.approx(0.75)
    far = DepthErrors()
    far.add(np.array([1.2, 1.5, 1.9, 2.0]), np.ones(4))
    assert far.deltas == pytest.approx((0.25, 0.5, 0.75))
    assert far.as_dict()["delta_1_25_3"] == 0.75 and far.as_dict()["sq_rel"] == far.sq_rel
    assert errors.rmse == pytest.approx(np.sqrt((0 + 4 + 1 + 4) / 4))
    assert errors.as_dict()["pixels"] == 4
    assert DepthErrors().as_dict() == {}
