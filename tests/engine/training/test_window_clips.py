"""Stored clips as training windows: geometry that agrees with itself however it was cut and mirrored."""

import numpy as np
import pytest
from geo4d.errors import OutputError
from geo4d.progress import Silent

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')

from geo4d.training import window_clips  # noqa: E402 - needs torch

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    assert window_clips.fill(folder, 3, Silent(), seed=0) == 3
    return folder


@pytest.fixture(scope="module")
def store(folder):
    store = window_clips.Store(folder)
    # Seeds 1001 to 1003 are all for training.
    assert len(store.train) == 3 and not store.validation
    return store


def seen_again(windows, a: int, b: int, k: int) -> np.ndarray:
    """Depth that frame b should have where static points of frame a fall, relative to the depth it has."""
    point = windows.points()[k, a].permute(1, 2, 0)[~windows.moving[k, a]]
    inverse = torch.linalg.inv(windows.c2w[k, b])
    local = point @ inverse[:3, :3].T + inverse[:3, 3]
    uv = local @ windows.K[k, b].T
    x, y = (uv[:, i] / uv[:, 2] for i in (0, 1))
    height, width = windows.depth.shape[2:]
    inside = (local[:, 2] > 0.1) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    there = windows.depth[k, b][y[inside].long(), x[inside].long()]
    return (there / local[inside, 2]).numpy()


@pytest.mark.parametrize("size", [None, (96, 64)])
def test_points_of_one_frame_lie_on_the_next(store, size):
    rng = np.random.default_rng(1)
    for _ in range(3):
        windows = store.batch(rng, 4, 3, size)
        height, width = windows.rgb.shape[3:]
        assert (width, height) in (set(window_clips.SHAPES) if size is None else {size})
        assert torch.allclose(windows.c2w[:, 0], torch.eye(4), atol=1e-5)
        assert 0 <= windows.rgb.min() and windows.rgb.max() <= 1
        for k in range(4):
            ratio = seen_again(windows, 0, 1, k)
            assert len(ratio) > 500 and np.median(np.abs(ratio - 1)) < 0.02


def test_whole_pictures_of_a_batch_have_one_shape_and_all_shapes_come(store):
    rng = np.random.default_rng(2)
    shapes = {tuple(store.batch(rng, 2, 2).depth.shape[:1:-1]) for _ in range(12)}
    assert shapes == {(160, 96), (96, 160)}  # of seeds 1001 to 1003


def test_batches_repeat_themselves(store):
    first, second = (store.batch(np.random.default_rng(5), 2, 4) for _ in range(2))
    assert torch.equal(first.rgb, second.rgb) and torch.equal(first.c2w, second.c2w)


def test_a_stopped_filling_continues_and_new_clips_are_taken_in(folder):
    store = window_clips.Store(folder)
    kept = (folder / "001002.npz").stat().st_mtime_ns
    (folder / "001003.npz").write_bytes(b"torn")
    (folder / "001001.npz").unlink()
    assert window_clips.fill(folder, 4, Silent()) == 2
    assert (folder / "001002.npz").stat().st_mtime_ns == kept
    store.refresh()
    assert len(store.train) == 4
    assert len(window_clips.Store(folder).train) == 3  # the torn one is left out


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        window_clips.fill(tmp_path / "file", 1, Silent())
