"""The engine as a subprocess: events, cancel, death, and no process left behind, whatever happens."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="counts processes by POSIX process group")

# Stand-ins for a program that talks like the engine; the engine itself runs in test_reconstruct.py.
TALKS = """
import json, sys, time
print("a library's chatter")
for i in range(3):
    event = {"event": "progress", "stage": "track", "done": i, "total": 3, "fraction": i / 3, "eta_s": 1.5}
    print(json.dumps(event), flush=True)
    time.sleep(0.05)
print(json.dumps({"event": "warning", "code": "w", "message": "Careful.", "hint": "Look."}))
print(json.dumps({"event": "result", "scene": "/x"}))
"""
# Starts a child as the engine starts its mapper, and ignores every polite request.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("{\\"event\\": \\"progress\\", \\"stage\\": \\"solve\\", \\"done\\": 0, \\"total\\": 1}", flush=True)
time.sleep(600)
"""
FLOOD = 'import sys\nwhile True: sys.stdout.write(\'{"event": "progress", "stage": "x"}\\n\')'


def group_is_empty(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(condition, limit_s: float = 20.0) -> bool:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def start(addon, tmp_path):
    """Starts a Python program as the engine is started; ends it after the test."""
    running = []

    def run(program: str):
        process = addon.engine_process.EngineProcess(
            [sys.executable, "-c", program], dict(os.environ), tmp_path / "log.txt"
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.close()


def test_events_arrive_in_order_and_chatter_is_skipped(start):
    process = start(TALKS)
    events = []
    assert wait_for(lambda: events.extend(process.poll()) or process.exit_status is not None)
    events += process.drain()
    assert [e["event"] for e in events] == ["progress"] * 3 + ["warning", "result"]
    assert process.exit_status == 0


def test_polling_never_blocks(start):
    """A silent engine and one that floods its output both leave the interface alone."""
    for program in ("import time; time.sleep(600)", FLOOD):
        process = start(program)
        slowest = 0.0
        for _ in range(60):
            began = time.thread_time()
            process.poll()
            slowest = max(slowest, time.thread_time() - began)
            time.sleep(0.01)
        assert slowest < 0.05


def test_polling_returns_at_once_while_the_engine_is_silent(start):
    process = start("import time; time.sleep(600)")
    began = time.monotonic()
    for _ in range(20):
        process.poll()
    assert time.monotonic() - began < 1.0


def test_stubborn_engine_and_its_child_are_killed_after_grace(start, addon, monkeypatch):
    monkeypatch.setattr(addon.engine_process, "GRACE_S", 0.5)
    process = start(STUBBORN)
    assert wait_for(lambda: process.poll())
    process.cancel()
    assert wait_for(lambda: process.poll() is not None and process.exit_status is not None)
    assert process.exit_status == -signal.SIGKILL
    process.close()
    assert wait_for(lambda: group_is_empty(process.pid))


def test_child_of_a_dead_engine_is_ended_too(start):
    process = start(STUBBORN)
    assert wait_for(lambda: process.poll())
    os.kill(process.pid, signal.SIGKILL)
    assert wait_for(lambda: process.exit_status is not None)
    assert not group_is_empty(process.pid)
    process.close()
    assert wait_for(lambda: group_is_empty(process.pid))


def job_around(addon, process):
    addon.job.current = addon.job.Job("test", process)
    return addon.job.current


def test_loading_a_file_ends_the_engine(start, addon):
    import bpy

    process = start(STUBBORN)
    job_around(addon, process)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert wait_for(lambda: group_is_empty(process.pid))
    assert addon.job.current.state == "CANCELLED"


def test_disabling_the_extension_ends_the_engine(start, addon):
    import bpy

    module = addon.compat.PACKAGE
    process = start(STUBBORN)
    job_around(addon, process)
    try:
        bpy.ops.preferences.addon_disable(module=module)
        assert wait_for(lambda: group_is_empty(process.pid))
        handlers = [getattr(h, "__module__", "") for h in bpy.app.handlers.load_pre]
        assert not any(name.startswith(module) for name in handlers)
        assert not hasattr(bpy.types.Scene, "geo4d")
    finally:
        bpy.ops.preferences.addon_enable(module=module)


def test_job_explains_an_engine_that_died(start, addon):
    for program, code in (
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "engine_died"),
        ("import nonexistent_package", "engine_incomplete"),
    ):
        job = job_around(addon, start(program))
        assert wait_for(lambda job=job: job.poll() or not job.running)
        assert job.state == "FAILED"
        assert job.error["code"] == code
        assert job.error["message"] and job.error["hint"]


def test_blender_that_is_killed_leaves_no_engine(addon, engine_python, tmp_path):
    """Nothing of ours can run when Blender dies; the real engine notices its closed standard input."""
    footage = Path(__file__).parents[1] / "data" / "clips" / "room" / "clip.mp4"
    if not footage.is_file():
        pytest.skip(f"{footage} is absent")
    engine = str(addon.interpreter.ENGINE_ROOT)
    command = [engine_python, "-m", "geo4d", "reconstruct", str(footage), "-o", str(tmp_path / "s"), "--json"]
    host = f"""
import subprocess, sys, time
engine = subprocess.Popen({[*command, "--watch-stdin"]!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env={{**__import__("os").environ, "PYTHONPATH": {engine!r}}}, start_new_session=True)
engine.stdout.readline()
print(engine.pid, flush=True)
time.sleep(600)
"""
    blender = subprocess.Popen([sys.executable, "-c", host], stdout=subprocess.PIPE, text=True)
    pid = int(blender.stdout.readline())
    assert not group_is_empty(pid)
    blender.kill()
    blender.wait()
    assert wait_for(lambda: group_is_empty(pid), 30)
