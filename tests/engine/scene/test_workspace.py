import dataclasses
import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from geo4d.errors import BadRequest, OutputError
from geo4d.scene.checkpoint import load_dataclass, save_dataclass
from geo4d.scene.reader import FORMAT, SCENE_FILE
from geo4d.scene.workspace import Workspace, output_errors


@dataclasses.dataclass
class Sample:
    values: np.ndarray
    label: str
    numbers: dict


def finish(work, key):
    (work.folder / SCENE_FILE).write_text(json.dumps({"format": FORMAT, "cache_key": key}))
    return work.publish(scratch=())


def test_dataclass_round_trip(tmp_path):
    value = Sample(np.arange(6.0).reshape(2, 3), "näme", {"a": 1.5})
    save_dataclass(tmp_path / "x.npz", value)
    back = load_dataclass(tmp_path / "x.npz", Sample)
    np.testing.assert_array_equal(back.values, value.values)
    assert (back.label, back.numbers) == (value.label, value.numbers)
    assert os.listdir(tmp_path) == ["x.npz"]


def test_publish_renames_only_when_asked(tmp_path):
    target = tmp_path / "scene"
    with Workspace(target, "k") as work:
        assert not target.exists()
        assert finish(work, "k") == target
    assert sorted(os.listdir(tmp_path)) == ["scene"]
    with Workspace(target, "k") as work:
        assert work.is_finished()
    with Workspace(target, "other") as work:
        assert not work.is_finished()
    with Workspace(target, "k", fresh=True) as work:
        assert not work.is_finished()


def test_same_key_continues_other_key_starts_anew(tmp_path):
    with Workspace(tmp_path / "s", "a") as work:
        work.store("stage", Sample(np.zeros(1), "first", {}))
    with Workspace(tmp_path / "s", "a") as work:
        assert work.load("stage", Sample).label == "first"
    with Workspace(tmp_path / "s", "b") as work:
        assert work.load("stage", Sample) is None


def test_torn_stage_file_is_ignored_and_removed(tmp_path):
    with Workspace(tmp_path / "s", "a") as work:
        work.store("stage", Sample(np.zeros(1000), "x", {}))
        path = work.folder / "stage.npz"
        path.write_bytes(path.read_bytes()[:100])
        assert work.load("stage", Sample) is None
        assert not path.exists()


def test_foreign_folder_is_never_overwritten(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(BadRequest) as caught, Workspace(tmp_path / "s", "a"):
        pass
    assert caught.value.code == "output_not_a_scene"
    assert sorted(os.listdir(tmp_path)) == ["s"]


def test_old_scene_stays_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "s"
    with Workspace(target, "a") as work:
        finish(work, "a")
    with Workspace(target, "b") as work:
        assert json.loads((target / SCENE_FILE).read_text())["cache_key"] == "a"
        finish(work, "b")
    assert json.loads((target / SCENE_FILE).read_text())["cache_key"] == "b"
    assert os.listdir(tmp_path) == ["s"]


def test_crash_between_the_two_renames_is_recovered(tmp_path):
    target = tmp_path / "s"
    with Workspace(target, "a") as work:
        finish(work, "a")
    os.rename(target, tmp_path / "s.old")
    with Workspace(target, "a") as work:
        assert work.is_finished()


def test_second_writer_is_refused_and_a_dead_one_forgotten(tmp_path):
    code = (
        "import sys, time; from geo4d.scene.workspace import Workspace\n"
        "with Workspace(sys.argv[1], 'a'):\n    print('in', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "s")], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        with pytest.raises(BadRequest) as caught, Workspace(tmp_path / "s", "a"):
            pass
        assert caught.value.code == "output_busy"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with Workspace(tmp_path / "s", "a"):
        pass


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk_full"), (errno.EROFS, "output_not_writable"), (errno.EIO, "output_failed")],
)
def test_write_errors_become_sentences(tmp_path, number, code):
    with pytest.raises(OutputError) as caught, output_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.code == code and caught.value.hint


def test_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError) as caught, Workspace(tmp_path / "file" / "s", "a"):
        pass
    assert caught.value.code == "output_not_writable"
