"""The one reconstruction that runs at a time: its state for the panels, its timer, and its end."""

import atexit
import os
import re
import tempfile
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

import bpy

from . import interpreter
from .compat import engine_errors
from .engine_process import EngineProcess
from .footage_source import Footage

_INTERVAL_S = 0.1
_IMPORT_INTERVAL_S = 0.01  # between import steps: long enough for Blender to take the user's input
_EDITORS = {"VIEW_3D", "SEQUENCE_EDITOR", "CLIP_EDITOR"}


@dataclass
class Job:
    """A reconstruction, running or ended."""

    title: str
    process: EngineProcess
    when_done: Callable[["Job"], Generator] | None = None  # what follows a good end, in brief steps
    stage: str = "start"
    done: int = 0
    total: int = 0
    fraction: float = 0.0  # of the whole run
    eta_s: float | None = None
    started: float = field(default_factory=time.monotonic)
    warnings: list[dict] = field(default_factory=list)
    result: dict | None = None
    summary: list[str] = field(default_factory=list)  # what came out, a line each
    error: dict | None = None  # code, message, hint
    state: str = "RUNNING"  # RUNNING, CANCELLING, IMPORTING, DONE, CANCELLED, FAILED
    steps: Generator | None = None  # of when_done, while IMPORTING

    @property
    def running(self) -> bool:
        return self.state in ("RUNNING", "CANCELLING", "IMPORTING")

    def cancel(self) -> None:
        if self.state == "RUNNING":
            self.process.cancel()
            self.state = "CANCELLING"

    def poll(self) -> None:
        """Take in what the engine has said, or take one step of what follows it; returns soon."""
        if self.state == "IMPORTING":
            self._follow_up()
            return
        for event in self.process.poll():
            self._take(event)
        if self.process.exit_status is not None:
            for event in self.process.drain():
                self._take(event)
            self.process.close()
            self._end(self.process.exit_status)

    def _take(self, event: dict) -> None:
        kind = event["event"]
        if kind == "progress":
            self.stage, self.done, self.total = event["stage"], event["done"], event["total"]
            self.fraction, self.eta_s = event.get("fraction", 0.0), event.get("eta_s")
        elif kind == "warning":
            self.warnings.append(event)
        elif kind == "result":
            self.result = event
        elif kind == "error":
            self.error = event

    def _end(self, exit_status: int) -> None:
        problems = (self.result or {}).get("problems")
        if problems:
            self.state, self.error = "FAILED", problems[0]
        elif exit_status == 0 and self.result is not None:
            self.fraction = 1.0
            self.state, self.steps = ("IMPORTING", self.when_done(self)) if self.when_done else ("DONE", None)
        elif self.state == "CANCELLING" or exit_status == engine_errors.EXIT_CANCELLED:
            self.state, self.error = "CANCELLED", None
        else:
            self.state = "FAILED"
            self.error = self.error or died(exit_status, self.process)

    def _follow_up(self) -> None:
        self.stage, self.done, self.total, self.eta_s = "import", 0, 0, 0.0
        try:
            next(self.steps)
        except StopIteration:
            self.state = "FAILED" if self.error else "DONE"
        except Exception as error:  # whatever it is, the user sees a sentence and the console the trace
            traceback.print_exc()
            self.state = "FAILED"
            hint = f"The scene is in {self.result['scene']}; import it from the panel."
            self.error = {"code": "import_failed", "message": f"The result cannot be imported: {error}.", "hint": hint}


def died(exit_status: int, process: EngineProcess) -> dict:
    """An error for an engine that ended without a word."""
    tail = process.log_tail()
    if "No module named" in tail:
        missing = re.findall(r"No module named '?([\w.]+)", tail)[-1]
        return {
            "code": "engine_incomplete",
            "message": f"The engine's Python lacks the package {missing}.",
            "hint": "Install the Geo4D extension made for this Blender and system, or choose another interpreter "
            "in its preferences.",
        }
    how = f"was ended by signal {-exit_status}" if exit_status < 0 else f"ended with status {exit_status}"
    return {
        "code": "engine_died",
        "message": f"The engine {how} without a result.",
        "hint": f"Reconstruct again to continue where it stopped; its log is {process.log_path}.",
    }


current: Job | None = None


def start(footage: Footage, output: Path, arguments: list[str], chosen_python: str, when_done) -> Job:
    """Reconstruct ``footage``; ``when_done(job)`` is iterated once the engine has ended well.

    Raises OSError if nothing can be started.
    """
    request = ["reconstruct", str(footage.path), "--output", str(output), "--json", "--watch-stdin"]
    request += ["--first", str(footage.first)]
    request += ["--last", str(footage.last)] if footage.last is not None else []
    request += ["--fps", f"{footage.fps:.6f}"] if footage.fps else []
    return _run(footage.path.name, [*request, *arguments], chosen_python, when_done)


def check_engine(chosen_python: str) -> Job:
    """Ask the engine what it can do. Raises OSError if it cannot be started."""
    return _run("Engine", ["doctor", "--json"], chosen_python, None)


def accept_licence(engine: str, chosen_python: str) -> Job:
    """Note that the user agrees to the licence of the model ``engine``. Raises OSError if nothing can be started."""
    return _run(f"Licence of {engine}", ["models", "accept", engine, "--json"], chosen_python, None)


def _run(title: str, request: list[str], chosen_python: str, when_done) -> Job:
    """Start the engine; the timer follows it from here on."""
    global current
    command = interpreter.engine_command(chosen_python, *request)
    handle, log_path = tempfile.mkstemp(prefix="geo4d-", suffix=".log", dir=bpy.app.tempdir)
    os.close(handle)
    process = EngineProcess(command, interpreter.engine_environment(chosen_python), Path(log_path))
    current = Job(title, process, when_done)
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=_INTERVAL_S, persistent=True)
    return current


def step() -> bool:
    """Poll the current job, finish it if it has ended; True while it runs."""
    job = current
    if job is None or not job.running:
        return False
    job.poll()
    return job.running


def wait() -> None:
    """Follow the current job to its end: for scripts and background mode, where no timers run."""
    while step():
        if current.state != "IMPORTING":
            time.sleep(_INTERVAL_S)


def stop() -> None:
    """End the current job's processes at once."""
    if current is not None and current.running:
        if current.process.exit_status is None:
            current.process.kill()
            current.process.close()
        current.state, current.steps = "CANCELLED", None


def _tick() -> float | None:
    running = step()
    _redraw()
    return (_IMPORT_INTERVAL_S if current.state == "IMPORTING" else _INTERVAL_S) if running else None


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in _EDITORS:
                area.tag_redraw()


@bpy.app.handlers.persistent
def _on_load(*_) -> None:
    # The scene that the result was meant for is about to go.
    stop()


def register():
    bpy.app.handlers.load_pre.append(_on_load)
    atexit.register(stop)


def unregister():
    global current
    stop()
    current = None
    atexit.unregister(stop)
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    if _on_load in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.remove(_on_load)
