"""One run of the engine as a subprocess that never blocks Blender: no threads, no waiting, no orphans."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

# How long a cancelled engine may take to end by itself; it gives itself three seconds.
GRACE_S = 5.0
_CHUNK = 65536

if os.name == "nt":
    import ctypes
    import msvcrt

    def _available(fd: int) -> int:
        """Bytes waiting in a pipe; Windows pipes cannot be read without blocking, only be peeked at."""
        waiting = ctypes.c_ulong(0)
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(fd))
        ok = ctypes.windll.kernel32.PeekNamedPipe(handle, None, 0, None, ctypes.byref(waiting), None)
        return waiting.value if ok else 0

    def _read_now(fd: int) -> bytes:
        waiting = _available(fd)
        return os.read(fd, min(waiting, _CHUNK)) if waiting else b""

    _OWN_GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
else:

    def _read_now(fd: int) -> bytes:
        try:
            return os.read(fd, _CHUNK)
        except BlockingIOError:
            return b""

    _OWN_GROUP = {"start_new_session": True}


class EngineProcess:
    """A running engine. Standard output is its JSON lines, standard error goes to the file ``log_path``.

    The engine watches its standard input and cancels itself when that closes, which happens however Blender ends.
    Raises OSError if the interpreter cannot be started.
    """

    def __init__(self, command: list[str], environment: dict[str, str], log_path: Path):
        self.log_path = Path(log_path)
        self._rest = b""
        self._kill_at: float | None = None
        with open(self.log_path, "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, **_OWN_GROUP
            )
        self._out = self._process.stdout.fileno()
        if os.name != "nt":
            os.set_blocking(self._out, False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while running."""
        return self._process.poll()

    def poll(self) -> list[dict]:
        """Events that have arrived since the last call; returns at once. Also enforces an overdue cancel."""
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            self.kill()
        # One chunk a call bounds the time taken; a chatty engine is caught up with over the next calls.
        return self._parse(_read_now(self._out))

    def drain(self) -> list[dict]:
        """Everything that is left after the engine has ended."""
        events = []
        while chunk := _read_now(self._out):
            events += self._parse(chunk)
        return events

    def _parse(self, chunk: bytes) -> list[dict]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [event for line in lines if (event := parse_event(line)) is not None]

    def cancel(self) -> None:
        """Ask the engine to stop and keep its finished work; it is killed if it takes too long."""
        if self.exit_status is not None or self._kill_at is not None:
            return
        self._kill_at = time.monotonic() + GRACE_S
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if os.name != "nt":
            self._signal_group(signal.SIGTERM)

    def kill(self) -> None:
        """End the engine and everything it started, now."""
        self._kill_at = None
        if os.name != "nt":
            self._signal_group(signal.SIGKILL)
        elif self.exit_status is None:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(self.pid)], capture_output=True, check=False)
        # A killed process is gone at once; waiting reaps it so that no zombie stays.
        self._process.wait(timeout=GRACE_S)

    def close(self) -> None:
        """Release the pipes of an ended engine, and end what it may have left running."""
        if os.name != "nt":
            self._signal_group(signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def log_tail(self, lines: int = 12) -> str:
        """The last lines of the engine's log."""
        text = self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.is_file() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _signal_group(self, number: int) -> None:
        # The group outlives its leader when a child is still running, so it is signalled either way.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def parse_event(line: bytes) -> dict | None:
    """One line of the engine's output as an event; None for anything else a library may print."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict):
        return None
    # ``geo4d doctor`` prints a bare report: it is the result of that run.
    event.setdefault("event", "result")
    return event
