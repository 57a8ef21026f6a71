"""Seconds, arithmetic and memory of one piece of work."""

import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

_STATUS = Path("/proc/self/status")
_EVERY_S = 0.05


class AnonymousPeak:
    """Largest memory of this process's own within a ``with``, in bytes: without the pages of mapped files.

    Those count as resident too, but the system takes them back whenever it wants. 0 where it has no such figure.
    """

    def __enter__(self) -> "AnonymousPeak":
        self.bytes, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, _own_bytes())
            if self._done.wait(_EVERY_S):
                return


def _own_bytes() -> int:
    if not _STATUS.exists():
        return 0
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def resident_peak() -> int:
    """Largest resident memory of this process so far, bytes, mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def print_header() -> None:
    print(f"{'stage':34} {'wall s':>9} {'CPU s':>9} {'TFLOP':>9} {'own GiB':>9} {'resident':>9}")


def measure(name: str, compute: Callable, device: str = "cpu", counted: bool = True):
    """Run ``compute`` once, print a line and return what it returned and its CPU seconds (wall on an accelerator)."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    wall, cpu = time.perf_counter(), time.process_time()
    flops = 0.0
    with AnonymousPeak() as peak:
        if counted:
            with FlopCounterMode(display=False) as counter:
                out = compute()
            flops = counter.get_total_flops() / 1e12
        else:
            out = compute()
        if device == "cuda":
            torch.cuda.synchronize()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    own = torch.cuda.max_memory_allocated() if device == "cuda" else peak.bytes
    finite = not isinstance(out, torch.Tensor) or bool(torch.isfinite(out).all())
    row = f"{name:34} {wall:9.2f} {cpu:9.2f} {flops:9.2f} {own / 2**30:9.2f} {resident_peak() / 2**30:9.2f}"
    print(row + ("" if finite else "  NOT FINITE"), flush=True)
    return out, wall if device == "cuda" else cpu
