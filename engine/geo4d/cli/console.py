"""Progress for people (a bar) and for programs (JSON lines), and the three ways to be told to stop."""

import json
import os
import signal
import sys
import threading
import time

from ..errors import EXIT_CANCELLED, Cancelled

# A stage inside a C++ library cannot be interrupted from Python. Results are only ever renamed into place when
# whole, so after this many seconds the process may end at any point without harm.
_GRACE_S = 3.0


class Reporter:
    """Implements :class:`geo4d.progress.Progress`; subclasses say where the events go.

    ``stages`` are (name, relative cost) in order; the estimated time covers the whole run, not one stage.
    """

    def __init__(self, stages: tuple[tuple[str, float], ...]):
        total = sum(cost for _, cost in stages)
        self._begin, before = {}, 0.0
        for name, cost in stages:
            self._begin[name] = (before / total, cost / total)
            before += cost
        self._started = time.monotonic()
        self._fraction = 0.0  # of the whole run, never shrinking
        self._resumed = 0.0  # share of the run that was already there when it began
        self.cancelled = threading.Event()
        self.warnings: list[dict] = []
        self.log_file = None

    def advance(self, stage: str, done: int, total: int) -> None:
        if self.cancelled.is_set():
            raise Cancelled
        # A stage that the list does not know, or that comes out of order, leaves the bar where it is.
        begin, share = self._begin.get(stage, (self._fraction, 0.0))
        self._fraction = fraction = max(self._fraction, begin + share * done / max(total, 1))
        self._emit_progress(stage, done, total, fraction, self._eta(fraction))

    def resume(self, stage: str, done: int, total: int) -> None:
        """Note work found finished on disk, so that it does not flatter the estimate."""
        begin, share = self._begin.get(stage, (0.0, 1.0))
        self._resumed = begin + share * done / max(total, 1)
        self._started = time.monotonic()

    def warn(self, code: str, message: str, hint: str = "") -> None:
        warning = {"code": code, "message": message, "hint": hint}
        if warning in self.warnings:
            return
        self.warnings.append(warning)
        self.log(f"warning: {message} {hint}")
        self._emit_warning(warning)

    def log(self, text: str) -> None:
        if self.log_file is not None:
            try:
                self.log_file.write(f"{time.strftime('%H:%M:%S')} {text}\n")
                self.log_file.flush()
            except OSError:  # a full disk is reported by the stage that needs it, not by its log
                self.log_file = None
        self._emit_log(text)

    def _eta(self, fraction: float) -> float | None:
        gained = fraction - self._resumed
        if gained < 0.01:
            return None
        return (time.monotonic() - self._started) * (1.0 - fraction) / gained

    def result(self, values: dict) -> None:
        raise NotImplementedError

    def _emit_progress(self, stage, done, total, fraction, eta_s) -> None:
        raise NotImplementedError

    def _emit_warning(self, warning: dict) -> None:
        raise NotImplementedError

    def _emit_log(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class JsonReporter(Reporter):
    """One JSON object a line on standard output; the log on standard error."""

    _EVERY_S = 0.1

    def __init__(self, stages):
        super().__init__(stages)
        self._last = ("", 0.0)

    def _print(self, event: dict) -> None:
        print(json.dumps(event), flush=True)

    def _emit_progress(self, stage, done, total, fraction, eta_s) -> None:
        now = time.monotonic()
        if stage == self._last[0] and done < total and now - self._last[1] < self._EVERY_S:
            return
        self._last = (stage, now)
        event = {"event": "progress", "stage": stage, "done": done, "total": total, "fraction": round(fraction, 4)}
        self._print({**event, "eta_s": None if eta_s is None else round(eta_s, 1)})

    def _emit_warning(self, warning: dict) -> None:
        self._print({"event": "warning", **warning})

    def result(self, values: dict) -> None:
        self._print({"event": "result", **values})


class TerminalReporter(Reporter):
    """A progress bar on a terminal; one line a stage where standard error is no terminal."""

    _WIDTH = 28

    def __init__(self, stages):
        super().__init__(stages)
        self._bar = sys.stderr.isatty()
        self._stage, self._drawn = "", False

    def _emit_progress(self, stage, done, total, fraction, eta_s) -> None:
        if self._bar:
            full = round(fraction * self._WIDTH)
            eta = "" if eta_s is None else f"  about {_clock(eta_s)} left"
            bar = "█" * full + "·" * (self._WIDTH - full)
            print(f"\r\x1b[K{bar} {fraction:4.0%}  {stage} {done}/{total}{eta}", end="", file=sys.stderr, flush=True)
            self._drawn = True
        elif stage != self._stage:
            print(f"{stage} ...", file=sys.stderr, flush=True)
        self._stage = stage

    def _clear(self) -> None:
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr)
            self._drawn = False

    def _emit_warning(self, warning: dict) -> None:
        self._clear()
        print(f"Warning: {warning['message']}\n         {warning['hint']}", file=sys.stderr)

    def _emit_log(self, text: str) -> None:
        pass  # people read the bar; the log file has the rest

    def result(self, values: dict) -> None:
        self._clear()
        for name, value in values.items():
            print(f"{name}: {value}")


def reporter_for(as_json: bool, stages) -> Reporter:
    """The reporter for ``--json`` or for people; ``stages`` as names or (name, cost)."""
    pairs = tuple((s, 1.0) if isinstance(s, str) else s for s in stages)
    return JsonReporter(pairs) if as_json else TerminalReporter(pairs)


def listen_for_cancel(reporter: Reporter, watch_stdin: bool) -> None:
    """Cancel ``reporter`` on SIGTERM, SIGINT or, with ``watch_stdin``, when standard input closes.

    Standard input closes when the program that started the engine ends, however it ends, so no engine outlives
    its host. If the running stage does not come back to Python in time the process ends by itself, with the
    same exit status as an orderly cancel.
    """

    def stop(*_) -> None:
        if reporter.cancelled.is_set():
            return
        reporter.cancelled.set()
        threading.Thread(target=_end_after_grace, args=(reporter,), daemon=True).start()

    def wait_for_signal(fd: int) -> None:
        os.read(fd, 1)
        stop()

    def wait_for_eof() -> None:
        while os.read(0, 4096):
            pass
        stop()

    for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: stop())
    # Python runs signal handlers between bytecodes of the main thread; this pipe is written by the C-level
    # handler at once, also while the main thread sits inside a C++ call.
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    if os.name != "nt":
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        threading.Thread(target=wait_for_signal, args=(read_fd,), daemon=True).start()
    if watch_stdin:
        threading.Thread(target=wait_for_eof, daemon=True).start()


def _end_after_grace(reporter: Reporter) -> None:
    time.sleep(_GRACE_S)
    error = Cancelled()
    if isinstance(reporter, JsonReporter):
        line = json.dumps({"event": "error", "code": error.code, "message": error.message, "hint": error.hint})
        os.write(1, line.encode() + b"\n")
    os._exit(EXIT_CANCELLED)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
