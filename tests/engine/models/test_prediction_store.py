"""Finished windows come back as they were, damaged ones do not count."""

import numpy as np
import pytest
from geo4d.models.prediction import Prediction
from geo4d.models.prediction_store import PredictionStore


@pytest.fixture
def prediction():
    rng = np.random.default_rng(0)
    return Prediction(
        positions=np.arange(3, 7),
        width=8,
        height=6,
        points=rng.normal(size=(4, 6, 8, 3)).astype(np.float32),
        points_weight=np.full((4, 6, 8), 1e30, dtype=np.float32),
        points_z_offset=True,
        c2w=np.tile(np.eye(4), (4, 1, 1)) + 1e-9,
    )


def test_windows_come_back(tmp_path, prediction):
    store = PredictionStore(tmp_path / "windows", 3)
    store.save(1, prediction)
    found = PredictionStore(tmp_path / "windows", 3)[1]
    assert found.points.dtype == np.float32 and found.disparity is None and found.points_z_offset
    np.testing.assert_allclose(found.points, prediction.points, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found.c2w, prediction.c2w)
    np.testing.assert_array_equal(found.positions, prediction.positions)
    assert np.isfinite(found.points_weight).all()
    assert store.finished() == {1} and len(store) == 3
    with pytest.raises(IndexError):
        store[3]


def test_damaged_windows_are_made_again(tmp_path, prediction):
    store = PredictionStore(tmp_path / "windows", 2)
    for number in range(2):
        store.save(number, prediction)
    path = tmp_path / "windows" / "0001.npz"
    path.write_bytes(path.read_bytes()[:500])
    assert store.finished() == {0}
    assert not path.exists()
