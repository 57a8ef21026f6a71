"""The whole engine as its users start it: one subprocess, a real clip, a scene folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from geo4d.geometry.camera import project
from geo4d.scene.depth_file import read_depth
from geo4d.scene.reader import read_scene

ROOM = Path(__file__).parents[1] / "data" / "clips" / "room" / "clip.mp4"
RANGE = ("--first", "4", "--last", "19", "--depth-size", "192")
BRIEF = ("--first", "4", "--last", "13", "--depth-size", "128")  # for runs whose depth nobody looks at


def geo4d(*arguments, prefix=(), **options):
    command = [*prefix, sys.executable, "-m", "geo4d", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)


def events(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def last_error(done):
    event = events(done)[-1]
    assert event["event"] == "error" and event["hint"] and event["message"].endswith(".")
    assert "\n" not in event["message"]
    return event


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    target = tmp_path_factory.mktemp("run") / 'räume \'n "quotes"' / "scene"
    done = geo4d("reconstruct", ROOM, "-o", target, *RANGE, "--json")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return target, done


def test_result_is_a_complete_scene(scene):
    folder, done = scene
    assert events(done)[-1] == {**events(done)[-1], "event": "result", "scene": str(folder), "cached": False}
    found = read_scene(folder)
    assert len(found) == 16 and found.index.tolist() == list(range(4, 20))
    assert found.motion == "moving" and found.pose.count("solved") >= 15
    assert sorted(p.name for p in (folder / "depth").iterdir()) == [f"{i:04d}.exr" for i in range(4, 20)]
    assert not list(folder.parent.glob("*.partial")) and not list(folder.parent.glob("*.lock"))
    names = sorted(p.name for p in folder.iterdir())
    assert names == ["depth", "log.txt", "points.npz", "scene.json", "tracks.npz"]


def test_points_project_onto_their_tracks(scene):
    found = read_scene(scene[0])
    tracks = found.tracks()
    assert tracks["static"].any()
    errors = []
    for i in range(0, len(found), 5):
        rows = (tracks["frame"] == i) & tracks["static"][tracks["track"]]
        rows &= np.isfinite(tracks["xyz"][tracks["track"], 0])
        lens = _lens(found, i)
        pixels, _ = project(tracks["xyz"][tracks["track"][rows]], found.c2w[i], lens)
        errors.append(np.linalg.norm(pixels - tracks["xy"][rows], axis=1))
    assert np.median(np.concatenate(errors)) < 1.0


def test_depth_agrees_with_the_points(scene):
    found = read_scene(scene[0])
    xyz, _, confidence = found.points()
    i = 8
    depth = read_depth(found.depth_path(i)).depth
    lens = _lens(found, i).pinhole().scaled(found.depth_width, found.depth_height)
    pixels, z = project(xyz[confidence > 0.5].astype(float), found.c2w[i], lens)
    inside = np.isfinite(pixels).all(1) & (pixels >= 0).all(1) & (pixels < [lens.width, lens.height]).all(1)
    at = pixels[inside].astype(int)
    ratio = depth[at[:, 1], at[:, 0]] / z[inside]
    # Points may be hidden in this frame; the median and the quartiles are of visible ones.
    assert abs(np.median(ratio) - 1) < 0.03
    assert np.mean(np.abs(ratio - 1) < 0.1) > 0.7


def _lens(found, i):
    from geo4d.geometry.camera import Intrinsics

    return Intrinsics(found.width, found.height, found.fx[i], found.fy[i], found.cx[i], found.cy[i], found.k1)


def test_second_run_is_answered_from_the_finished_scene(scene):
    folder, _ = scene
    begun = os.stat(folder / "points.npz").st_mtime_ns
    done = geo4d("reconstruct", ROOM, "-o", folder, *RANGE, "--json")
    assert done.returncode == 0 and events(done)[-1]["cached"]
    assert os.stat(folder / "points.npz").st_mtime_ns == begun


def test_moved_footage_is_still_known(scene, tmp_path):
    folder, _ = scene
    moved = tmp_path / "moved clip.mp4"
    shutil.copy(ROOM, moved)
    done = geo4d("reconstruct", moved, "-o", folder, *RANGE, "--json")
    assert done.returncode == 0 and events(done)[-1]["cached"]
    assert read_scene(folder).footage["path"] == str(moved)


@pytest.mark.parametrize("stage", ["track", "solve", "depth", "agree"])
def test_killed_in_any_stage_leaves_nothing_torn_and_continues(tmp_path, stage):
    target = tmp_path / "scene"
    command = [sys.executable, "-m", "geo4d", "reconstruct", ROOM, "-o", target, *BRIEF, "--json"]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        for line in process.stdout:
            event = json.loads(line)
            if event.get("stage") == stage and event["done"] >= {"depth": 5, "agree": 1}.get(stage, 0):
                process.kill()
                break
    assert not target.exists()
    done = geo4d(*command[3:])
    assert done.returncode == 0
    assert len(read_scene(target)) == 10
    stages = {e["stage"] for e in events(done) if e["event"] == "progress"}
    assert ("track" in stages) == (stage == "track")
    if stage in ("depth", "agree"):
        assert "solve" not in stages
    if stage == "agree":
        assert "depth" not in stages


def test_terminate_cancels_and_keeps_finished_work(tmp_path):
    target = tmp_path / "scene"
    command = [sys.executable, "-m", "geo4d", "reconstruct", ROOM, "-o", target, *BRIEF, "--json"]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        for line in process.stdout:
            event = json.loads(line)
            if event.get("stage") == "depth" and event["done"] >= 3:
                break
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        rest = process.stdout.read().splitlines()
        assert process.wait(timeout=15) == 3
        assert time.monotonic() - begun < 10
        assert json.loads(rest[-1])["code"] == "cancelled"
    assert not target.exists() and list((tmp_path / "scene.partial" / "maps").rglob("*.npz"))


def movie(path, frames, size=(192, 128)):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def noise(count, size=(192, 128)):
    rng = np.random.default_rng(1)
    return [rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8) for _ in range(count)]


def flat(count, size=(192, 128)):
    return [np.full((size[1], size[0], 3), 128, dtype=np.uint8)] * count


@pytest.mark.parametrize(
    ("make", "code", "status"),
    [
        (lambda p: p / "missing.mp4", None, 2),
        (lambda p: (p / "empty.mp4").write_bytes(b"") or p / "empty.mp4", None, 2),
        (lambda p: (p / "text.mp4").write_text("no video" * 99) and p / "text.mp4", None, 2),
        (lambda p: movie(p / "one.mp4", noise(1)), "too_few_frames", 2),
        (lambda p: movie(p / "two.mp4", noise(2)), "too_few_frames", 2),
        (lambda p: movie(p / "flat.mp4", flat(12)), None, 1),
        (lambda p: movie(p / "noise.mp4", noise(12)), None, 1),
    ],
    ids=["missing", "empty", "text", "one-frame", "two-frames", "no-texture", "noise"],
)
def test_bad_footage_is_one_sentence_and_leaves_no_scene(tmp_path, make, code, status):
    clip = make(tmp_path)
    done = geo4d("reconstruct", clip, "-o", tmp_path / "scene", "--json")
    assert done.returncode == status, done.stdout
    assert code is None or last_error(done)["code"] == code
    last_error(done)
    assert not (tmp_path / "scene").exists()


def test_truncated_movie_is_used_as_far_as_it_goes_or_refused(tmp_path):
    data = ROOM.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    done = geo4d("reconstruct", tmp_path / "cut.mp4", "-o", tmp_path / "scene", "--json")
    if done.returncode == 0:
        assert any(e["event"] == "warning" for e in events(done))
    else:
        assert done.returncode == 2 and last_error(done)


def test_full_disk_is_named(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    # A small file system of its own for this one process; as root, or in a user namespace where allowed.
    script = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if subprocess.run([*unshare, "sh", "-c", script, mount, "true"], capture_output=True).returncode:
        pytest.skip("no permission to mount a small file system here")
    done = geo4d(
        "reconstruct", ROOM, "-o", mount / "scene", *BRIEF[:4], "--json", prefix=[*unshare, "sh", "-c", script, mount]
    )
    assert done.returncode == 1, done.stdout[-500:]
    assert last_error(done)["code"] == "disk_full"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_output(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    done = geo4d("reconstruct", ROOM, "-o", tmp_path / "locked" / "scene", "--json")
    assert last_error(done)["code"] == "output_not_writable"


def test_output_on_a_read_only_place(tmp_path):
    done = geo4d("reconstruct", ROOM, "-o", "/proc/geo4d-scene", "--json")
    assert done.returncode == 1 and last_error(done)["code"] == "output_not_writable"
