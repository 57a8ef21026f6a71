import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from geo4d.errors import OutputError
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.scene.depth_file import read_depth, write_depth
from geo4d.scene.reader import SceneError


def make_frame(h=37, w=53):
    rng = np.random.default_rng(3)
    return DepthFrame(
        depth=rng.uniform(0.1, 200.0, (h, w)).astype(np.float32),
        confidence=rng.uniform(0, 1, (h, w)).astype(np.float32),
        dynamic=rng.uniform(0, 1, (h, w)).astype(np.float32),
    )


def test_depth_comes_back_bit_for_bit_and_the_rest_in_half_precision(tmp_path):
    frame = make_frame()
    path = tmp_path / "dépôt 'four' 深さ" / "0007.exr"
    path.parent.mkdir()
    write_depth(path, frame)
    back = read_depth(path)
    np.testing.assert_array_equal(back.depth, frame.depth)
    np.testing.assert_allclose(back.confidence, frame.confidence, atol=2**-11)
    np.testing.assert_allclose(back.dynamic, frame.dynamic, atol=2**-11)
    assert back.depth.dtype == back.confidence.dtype == back.dynamic.dtype == np.float32


def test_channel_types_and_compression_are_the_documented_ones(tmp_path):
    path = tmp_path / "0000.exr"
    write_depth(path, make_frame())
    with OpenEXR.File(str(path), separate_channels=True) as file:
        types = {name: channel.pixels.dtype for name, channel in file.channels().items()}
        assert file.header()["compression"] == OpenEXR.ZIP_COMPRESSION
    assert types == {"R": np.float32, "G": np.float16, "B": np.float16}


def test_depth_that_means_nothing_is_stored_as_zero(tmp_path):
    frame = make_frame()
    frame.depth[0, :4] = [np.nan, np.inf, -np.inf, -1.0]
    frame.confidence[0, 0] = np.nan
    frame.dynamic[0, 0] = 1.5
    write_depth(tmp_path / "0000.exr", frame)
    back = read_depth(tmp_path / "0000.exr")
    assert (back.depth[0, :4] == 0).all()
    assert back.confidence[0, 0] == 0 and back.dynamic[0, 0] == 1


def test_rewriting_replaces_the_file_and_leaves_nothing_else_behind(tmp_path):
    path = tmp_path / "0000.exr"
    write_depth(path, make_frame(5, 9))
    write_depth(path, make_frame(6, 4))
    assert read_depth(path).depth.shape == (6, 4)
    assert [p.name for p in tmp_path.iterdir()] == ["0000.exr"]


def test_folder_that_does_not_exist_is_an_output_error(tmp_path):
    with pytest.raises(OutputError) as caught:
        write_depth(tmp_path / "nowhere" / "0000.exr", make_frame())
    assert caught.value.code == "output_not_writable" and "nowhere" in caught.value.message


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX matter")
def test_disk_that_takes_no_more_is_an_output_error_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "0000.exr"
    write_depth(path, make_frame(5, 9))
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_depth_file import make_frame, write_depth\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "try: write_depth(sys.argv[1], make_frame(200, 300))\n"
        "except Exception as error: print(type(error).__name__, error.code, error.message)"
    )
    arguments = [sys.executable, "-c", script, str(path), str(Path(__file__).parent)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("OutputError output_failed") and "File too large" in done.stdout
    assert read_depth(path).depth.shape == (5, 9)
    assert [p.name for p in tmp_path.iterdir()] == ["0000.exr"]


def test_missing_and_broken_files_name_the_file(tmp_path):
    with pytest.raises(SceneError, match=r"0003\.exr is missing"):
        read_depth(tmp_path / "0003.exr")
    write_depth(tmp_path / "0000.exr", make_frame())
    data = (tmp_path / "0000.exr").read_bytes()
    for name, content in {"cut.exr": data[: len(data) // 2], "text.exr": b"not an image"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SceneError, match=name):
            read_depth(tmp_path / name)
