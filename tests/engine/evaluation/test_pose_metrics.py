import json
import struct
from pathlib import Path

import numpy as np
import pytest
from geo4d.evaluation.pose_metrics import angles_deg, compare_paths, rotation_errors_deg
from geo4d.geometry.rotation import rotation_matrices

GOLDEN = Path(__file__).parents[4] / "shared/geo4d/golden/pose_metrics.safetensors"


def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    meta = json.loads(header.pop("__metadata__")["meta"])
    kinds = {"F32": np.float32, "BOOL": np.bool_}
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return arrays, meta


def random_path(count=20, seed=0):
    rng = np.random.default_rng(seed)
    c2w = np.tile(np.eye(4), (count, 1, 1))
    c2w[:, :3, :3] = rotation_matrices(rng.normal(size=(count, 4)))
    c2w[:, :3, 3] = np.cumsum(rng.normal(size=(count, 3)), axis=0)
    return c2w


def axis_rotation(degrees):
    a = np.radians(degrees) / 2
    return rotation_matrices(np.array([[np.cos(a), 0, np.sin(a), 0]]))[0]


def test_matches_the_published_protocol():
    if not GOLDEN.is_file():
        pytest.skip("the reference vectors of the published protocol are not on this machine")
    arrays, expected = read_safetensors(GOLDEN)
    errors = compare_paths(arrays["est_c2w"].astype(np.float64), arrays["gt_c2w"].astype(np.float64))
    assert errors.ate == pytest.approx(expected["ATE"], rel=1e-5)
    assert errors.rpe_translation == pytest.approx(expected["RPE_trans"], rel=1e-5)
    assert errors.rpe_rotation_deg == pytest.approx(expected["RPE_rot_deg"], rel=1e-4)


def test_without_an_alignment_the_published_errors_are_those_of_the_first_camera():
    if not GOLDEN.is_file():
        pytest.skip("the reference vectors of the published protocol are not on this machine")
    arrays, expected = read_safetensors(GOLDEN)
    estimate, truth = arrays["est_c2w"].astype(np.float64), arrays["gt_c2w"].astype(np.float64)
    anchored = truth[0] @ np.linalg.inv(estimate[0]) @ estimate
    away = np.linalg.norm(anchored[:, :3, 3] - truth[:, :3, 3], axis=1)
    assert np.sqrt(np.mean(away**2)) == pytest.approx(expected["origin_ATE"], rel=1e-5)
    # The rotation of a step does not depend on how the paths are laid upon each other.
    assert compare_paths(anchored, truth).rpe_rotation_deg == pytest.approx(expected["origin_RPE_rot_deg"], rel=1e-4)


def test_a_similar_path_has_no_error_and_its_scale_is_found():
    truth = random_path()
    R = axis_rotation(40)
    estimate = truth.copy()
    estimate[:, :3, :3] = R @ truth[:, :3, :3]
    estimate[:, :3, 3] = 0.25 * truth[:, :3, 3] @ R.T + [1, 2, 3]
    errors = compare_paths(estimate, truth)
    assert errors.ate < 1e-12 and errors.rpe_translation < 1e-12 and errors.rpe_rotation_deg < 1e-5
    assert errors.scale == pytest.approx(4.0)
    assert errors.path_length == pytest.approx(np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum())


def test_relative_rotation_error_is_that_of_one_frame():
    truth = random_path(11)
    estimate = truth.copy()
    estimate[5:, :3, :3] = axis_rotation(3.0) @ estimate[5:, :3, :3]  # one jump of 3 degrees among 10 steps
    assert compare_paths(estimate, truth).rpe_rotation_deg == pytest.approx(3.0 / np.sqrt(10), rel=1e-6)


def test_orientation_needs_no_positions():
    truth = random_path(9)
    truth[:, :3, 3] = 0
    estimate = truth.copy()
    estimate[:, :3, :3] = axis_rotation(70) @ truth[:, :3, :3]
    assert rotation_errors_deg(estimate, truth).max() < 1e-5
    estimate[4, :3, :3] = estimate[4, :3, :3] @ axis_rotation(2.0)
    errors = rotation_errors_deg(estimate, truth)
    assert errors.argmax() == 4 and errors[4] == pytest.approx(2.0 * 8 / 9, abs=0.02)


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 0.5, 90.0, 179.0])
def test_angles(degrees):
    assert angles_deg(axis_rotation(degrees)[None])[0] == pytest.approx(degrees, abs=1e-9, rel=1e-6)
