"""The path's tremble is removed, the camera's own shake kept, and ray maps count as far as they can be trusted."""

from dataclasses import replace

import numpy as np
import pytest
from geo4d.alignment.fast import AlignmentSettings, align
from geo4d.alignment.smoothing import Jerk
from geo4d.evaluation.pose_metrics import compare_paths
from geo4d.geometry.rotation import rotations_from_vectors
from geo4d.progress import Silent
from hall import hall_shot
from simulated_windows import EXACT, SimulatedWindows

SIZE = (48, 32)
FRAMES = 28
TREMBLING = replace(EXACT, turn_deg=0.4, shift=0.01, noise=0.005)


def errors_of(truth, errors, modalities=("points", "disparity", "rays"), change=None, seed=0):
    windows = SimulatedWindows(truth, SIZE, errors, modalities, seed=seed)
    if change is not None:
        windows = [change(windows[g]) for g in range(len(windows))]
    aligned = align(windows, len(truth), truth.footage_size, Silent(), AlignmentSettings(motion="moving"))
    return compare_paths(aligned.solve.c2w, truth.c2w)


@pytest.mark.parametrize("k", [3, 6])
def test_rows_are_whitened_as_by_the_dense_covariance(k):
    rng = np.random.default_rng(k)
    F = 23
    half = rng.standard_normal((F, k, k))
    noise = half @ np.swapaxes(half, 1, 2) + 0.1 * np.eye(k)
    known = rng.random(F - 2) > 0.2
    jerk = Jerk(rng.standard_normal((F - 2, k)), known, noise)
    own = rng.random((F - 2, k)) + 0.01
    D = np.kron(np.diff(np.eye(F), n=2, axis=0), np.eye(k))
    whole = np.zeros((F * k, F * k))
    for f in range(F):
        whole[f * k : f * k + k, f * k : f * k + k] = noise[f]
    C = D @ whole @ D.T + np.diag(own.ravel())
    use = np.repeat(known, k)
    expected = np.zeros((F - 2) * k)
    expected[use] = np.linalg.solve(C[np.ix_(use, use)], jerk.value.ravel()[use])
    likelihood = np.linalg.slogdet(C[np.ix_(use, use)])[1] + expected @ jerk.value.ravel()
    y, found = jerk.whitened(own)
    np.testing.assert_allclose(y.ravel(), expected, rtol=1e-8, atol=1e-10)
    assert found == pytest.approx(likelihood, rel=1e-9)


def test_tremble_of_windows_is_removed():
    walk = hall_shot(FRAMES, SIZE)
    found = errors_of(walk, TREMBLING, ("points",))
    # Up to four windows leave 0.2 degrees of 0.4, in the step from frame to frame 1.4 times as much.
    assert found.rpe_rotation_deg < 0.1
    assert found.ate_percent < 2.0


def test_shake_of_the_camera_is_kept():
    walk = hall_shot(FRAMES, SIZE)
    rng = np.random.default_rng(0)
    walk.c2w[:, :3, :3] = walk.c2w[:, :3, :3] @ rotations_from_vectors(
        np.radians(0.8) * rng.standard_normal((FRAMES, 3))
    )
    found = errors_of(walk, replace(TREMBLING, turn_deg=0.1, shift=0.002), ("points",))
    assert found.rpe_rotation_deg < 0.12  # the shake itself is 2.0


def test_ray_maps_help():
    walk = hall_shot(FRAMES, SIZE)
    errors = replace(TREMBLING, path_turn_deg=0.05, path_shift=0.002)
    alone, both = errors_of(walk, errors, ("points",)), errors_of(walk, errors, ("points", "rays"))
    assert both.ate < 0.7 * alone.ate


def test_ray_maps_of_a_camera_at_rest_do_not_stop_one_that_moves():
    walk = hall_shot(FRAMES, SIZE)

    def at_rest(prediction):
        prediction.ray_direction[:] = prediction.ray_direction[:1]
        prediction.ray_moment[:] = 0
        return prediction

    plain = errors_of(walk, TREMBLING, ("points",))
    misled = errors_of(walk, TREMBLING, ("points", "rays"), at_rest)
    assert misled.ate < 1.1 * plain.ate
    assert misled.rpe_rotation_deg < 1.1 * plain.rpe_rotation_deg
