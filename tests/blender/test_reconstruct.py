"""From footage to a Blender scene through the operators and the real engine; cancel and go on; clear failures."""

import os
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from test_depth_points import evaluated_points
from test_footage_source import trim

CLIP = Path(__file__).parents[1] / "data" / "clips" / "room" / "clip.mp4"
needs_clip = pytest.mark.skipif(not CLIP.is_file(), reason=f"{CLIP} is absent")


@pytest.fixture
def scene(addon, engine_python, tmp_path):
    """An empty scene whose add-on uses the development environment's engine."""
    bpy.context.preferences.addons[addon.compat.PACKAGE].preferences.python = engine_python
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    scene.geo4d.output = str(tmp_path / "my scenes")
    scene.geo4d.depth_size = "320"
    yield scene
    bpy.context.preferences.addons[addon.compat.PACKAGE].preferences.python = ""


def follow(addon, until=lambda job: False, limit_s: float = 300.0):
    """Poll the job as the timer does until it ends or ``until`` holds."""
    end = time.monotonic() + limit_s
    while addon.job.step() and not until(addon.job.current):
        assert time.monotonic() < end, "the engine takes too long"
        time.sleep(0.02)
    return addon.job.current


def processes_of(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


@needs_clip
def test_trimmed_strip_becomes_camera_plate_and_points(addon, scene):
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_movie("room", str(CLIP), channel=1, frame_start=101)
    trim(strip, 105, 121)
    editor.active_strip = strip
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene
    assert bpy.ops.geo4d.reconstruct(source="STRIP") == {"FINISHED"}

    job = addon.job.current
    assert (job.state, job.fraction) == ("DONE", 1.0)
    assert job.summary[0].startswith("Camera: ")
    assert "16 cameras, 0 of them interpolated" in job.summary
    assert any("mm wide sensor" in line for line in job.summary)
    assert not processes_of(job.process.pid)
    solved = addon.compat.scene_reader.read_scene(scene.geo4d.scene_folder)
    assert solved.index.tolist() == list(range(4, 20))
    assert (scene.frame_start, scene.frame_end) == (105, 120)
    assert (scene.render.resolution_x, scene.render.resolution_y, scene.render.fps) == (640, 360, 24)
    camera = scene.camera
    background = camera.data.background_images[0]
    assert background.clip.frame_start == 101 and Path(background.clip.filepath) == CLIP
    host = next(o for o in scene.objects if o.type == "POINTCLOUD" and "Depth" in o.name)
    centres = []
    for frame in (105, 112, 120):
        scene.frame_set(frame)
        points = evaluated_points(host)
        assert len(points["world"]) > 3000
        assert points["displayColor"][:, :3].std() > 0.01, "the plate colours the points"
        centres.append(np.median(points["world"], axis=0))
    # The room stands still while the camera moves: the cloud's middle moves less than the room is deep.
    assert np.ptp(centres, axis=0).max() < 0.3 * 5.0


@needs_clip
def test_cancel_leaves_no_process_and_the_next_run_continues(addon, scene, tmp_path):
    footage = addon.footage_source.Footage(CLIP, first=0, last=15)
    output, arguments = tmp_path / "scenes" / "room", ["--depth-size", "320"]
    python = addon.preferences.engine_python()
    addon.job.start(footage, output, arguments, python, None)
    assert not bpy.ops.geo4d.reconstruct.poll(), "one reconstruction at a time"
    job = follow(addon, until=lambda job: job.stage == "depth" and job.done >= 3)
    assert job.running, job.error
    assert bpy.ops.geo4d.cancel() == {"FINISHED"}
    assert job.state == "CANCELLING"
    began = time.monotonic()
    follow(addon)
    assert time.monotonic() - began < addon.engine_process.GRACE_S + 3
    assert (job.state, job.error) == ("CANCELLED", None)
    assert not processes_of(job.process.pid)
    assert not output.exists(), "no half-written scene"

    stages = set()
    addon.job.start(footage, output, arguments, python, None)
    job = follow(addon, until=lambda job: stages.add((job.stage, job.done)))
    assert job.state == "DONE", job.error
    assert (output / "scene.json").is_file()
    assert not any(stage == "track" and done > 0 for stage, done in stages), "finished stages are kept"


def test_file_that_is_no_footage_ends_in_one_sentence(addon, scene, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is not a movie" * 100)
    with pytest.raises(RuntimeError, match=r"broken\.mp4"):
        bpy.ops.geo4d.reconstruct(source="FILE", filepath=str(broken))
    job = addon.job.current
    assert job.state == "FAILED"
    assert job.error["code"] and job.error["hint"]
    assert not processes_of(job.process.pid)


def test_missing_footage_and_interpreter_are_reported(addon, scene, tmp_path):
    with pytest.raises(RuntimeError, match="is gone"):
        bpy.ops.geo4d.reconstruct(source="FILE", filepath=str(tmp_path / "none.mp4"))
    with pytest.raises(RuntimeError, match="No strip is active"):
        bpy.ops.geo4d.reconstruct(source="STRIP")
    footage = tmp_path / "x.mp4"
    footage.touch()
    bpy.context.preferences.addons[addon.compat.PACKAGE].preferences.python = str(tmp_path / "no-python")
    with pytest.raises(RuntimeError, match="engine cannot be started"):
        bpy.ops.geo4d.reconstruct(source="FILE", filepath=str(footage))


def test_engine_check(addon, scene):
    assert bpy.ops.geo4d.check_engine() == {"FINISHED"}
    job = addon.job.current
    assert job.state == "DONE", job.error
    assert job.result["version"]


def test_import_of_what_is_no_scene(tmp_path):
    with pytest.raises(RuntimeError, match=r"no scene\.json"):
        bpy.ops.geo4d.import_scene(directory=str(tmp_path))


def test_output_lies_beside_a_saved_file(addon, scene, tmp_path):
    footage = addon.footage_source.Footage(Path("/footage/shot_010.0001.exr"))
    assert scene.geo4d.output_folder(footage) == tmp_path / "my scenes" / "shot_010"
    scene.geo4d.output = ""
    user_folder = bpy.utils.extension_path_user(addon.compat.PACKAGE, path="scenes")
    assert scene.geo4d.output_folder(footage).parent == Path(user_folder)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert bpy.context.scene.geo4d.output_folder(footage) == tmp_path / "geo4d" / "shot_010"


def test_no_scene_of_other_footage_is_overwritten(addon, scene, tmp_path):
    from synthetic_scene import LENSES, write_scene

    write_scene(tmp_path / "my scenes" / "clip", LENSES["landscape"], [0, 1, 2], footage="/a/clip.mp4")
    (tmp_path / "my scenes" / "clip_2").mkdir()
    make = addon.footage_source.Footage
    assert scene.geo4d.output_folder(make(Path("/a/clip.mp4"))).name == "clip"
    assert scene.geo4d.output_folder(make(Path("/b/clip.mp4"))).name == "clip_3"
