import json
import os
import signal
import subprocess
import sys
import time

import pytest
from geo4d.cli.console import JsonReporter, TerminalReporter
from geo4d.errors import EXIT_CANCELLED, Cancelled

# A stage that comes back to Python often, and one that sits in a single long library call.
POLITE = """
import sys, time
from geo4d.cli.console import reporter_for, listen_for_cancel
from geo4d.errors import GeoError
reporter = reporter_for(True, ("read", "track"))
listen_for_cancel(reporter, watch_stdin=True)
try:
    for i in range(2000):
        reporter.advance("track", i, 2000)
        time.sleep(0.02)
except GeoError as error:
    sys.exit(error.exit_status)
"""
STUBBORN = """
import sys
import numpy as np
from geo4d.cli.console import reporter_for, listen_for_cancel
reporter = reporter_for(True, ("read", "track"))
listen_for_cancel(reporter, watch_stdin=True)
reporter.advance("track", 1, 2)
a = np.random.default_rng(0).normal(size=(2500, 2500))
np.linalg.eigvals(a)
"""


def start(code):
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert json.loads(process.stdout.readline())["event"] == "progress"
    return process


@pytest.mark.parametrize("how", ["signal", "stdin"])
@pytest.mark.parametrize("code", [POLITE, STUBBORN])
def test_cancel_ends_with_its_exit_status(code, how):
    process = start(code)
    begun = time.monotonic()
    if how == "signal":
        process.send_signal(signal.SIGTERM)
    else:
        process.stdin.close()
    assert process.wait(timeout=20) == EXIT_CANCELLED
    assert time.monotonic() - begun < 10
    process.stdout.close()


def test_json_lines(capsys):
    reporter = JsonReporter((("read", 1.0), ("track", 3.0)))
    reporter.advance("read", 1, 1)
    reporter.advance("track", 3, 3)
    reporter.warn("w", "Careful.", "Do this.")
    reporter.warn("w", "Careful.", "Do this.")
    reporter.result({"scene": "x"})
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events] == ["progress", "progress", "warning", "result"]
    assert events[0]["fraction"] == pytest.approx(0.25) and events[1]["fraction"] == pytest.approx(1.0)
    assert events[2] == {"event": "warning", "code": "w", "message": "Careful.", "hint": "Do this."}
    assert reporter.warnings == [{"code": "w", "message": "Careful.", "hint": "Do this."}]


def test_resumed_work_does_not_flatter_the_estimate():
    reporter = TerminalReporter((("depth", 1.0),))
    reporter.resume("depth", 90, 100)
    reporter._started -= 10.0
    assert reporter._eta(0.95) == pytest.approx(10.0, rel=0.05)


def test_cancelled_stage_raises():
    reporter = JsonReporter((("read", 1.0),))
    reporter.cancelled.set()
    with pytest.raises(Cancelled):
        reporter.advance("read", 0, 1)


def geo4d(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "geo4d", *arguments], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    "arguments",
    [
        ["reconstruct", "x", "--first", "-1"],
        ["reconstruct", "x", "--step", "0"],
        ["reconstruct", "x", "--lens", "zoom", "--focal-mm", "35"],
        ["nope"],
    ],
)
def test_bad_arguments_are_one_sentence_with_a_hint(arguments):
    done = geo4d(*arguments, "--json")
    assert done.returncode == 2
    event = json.loads(done.stdout)
    assert event["event"] == "error" and event["message"].endswith(".") and event["hint"]
    plain = geo4d(*arguments)
    assert plain.returncode == 2 and plain.stderr.startswith("geo4d: ") and "Traceback" not in plain.stderr


def test_doctor_knows_what_is_there():
    report = json.loads(geo4d("doctor", "--json").stdout)
    assert report["ok"] and report["engines"]["tracks"]["ready"]
    assert all(report["packages"][name] for name in ("numpy", "av", "cv2", "pycolmap", "OpenEXR"))


def test_doctor_names_what_is_missing(tmp_path):
    for name in ("av", "cv2"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('made unusable')")
    done = geo4d("doctor", "--json", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 5
    problems = json.loads(done.stdout)["problems"]
    assert [p["code"] for p in problems] == ["package_missing"] * 2 and "av" in problems[0]["message"]


def test_evaluate_names_a_folder_that_is_no_scene(tmp_path):
    done = geo4d("evaluate", str(tmp_path), "--ground-truth", str(tmp_path), "--json")
    assert done.returncode == 2
    assert "not a Geo4D scene" in json.loads(done.stdout)["message"]
