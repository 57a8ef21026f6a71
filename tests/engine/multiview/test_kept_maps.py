"""Maps between passes, on disk."""

import errno

import numpy as np
import pytest
from geo4d.errors import OutputError
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.kept_maps import KeptMaps


def a_map(value: float) -> DepthFrame:
    return DepthFrame(*(np.full((6, 8), v, np.float32) for v in (value, 0.25, 0.5)))


def test_what_is_kept_is_there_again_in_a_new_run(tmp_path):
    kept = KeptMaps(tmp_path / "drafts")
    assert len(kept) == 0 and not (tmp_path / "drafts").exists()
    kept[3], kept[0] = a_map(1.1), a_map(2.2)
    again = KeptMaps(tmp_path / "drafts")
    assert list(again) == [0, 3] and 3 in again and 1 not in again
    np.testing.assert_array_equal(again[3].depth, a_map(1.1).depth)
    np.testing.assert_array_equal(again[0].confidence, a_map(2.2).confidence)
    assert again[0].dynamic.dtype == np.float32
    del again[3]
    with pytest.raises(KeyError):
        again[3]
    again.clear()
    assert len(again) == 0 and not (tmp_path / "drafts").exists()


def test_a_torn_file_is_named_and_removed(tmp_path):
    kept = KeptMaps(tmp_path)
    kept[7] = a_map(1.0)
    (tmp_path / "000007.npz").write_bytes(b"PK")
    with pytest.raises(OutputError, match=r"000007\.npz cannot be read"):
        kept[7]
    assert 7 not in KeptMaps(tmp_path)


def test_a_disk_that_refuses_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        KeptMaps(tmp_path / "file" / "drafts")[0] = a_map(1.0)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    kept = KeptMaps(tmp_path / "drafts")
    with pytest.raises(OutputError, match="disk is full"):
        kept[0] = a_map(1.0)
    assert 0 not in kept and len(KeptMaps(tmp_path / "drafts")) == 0
