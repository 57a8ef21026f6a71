"""Where a model computes, and how much memory can still be had there; the same for every model."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from ..errors import BadRequest
from .windowed import ModelOptions

T = TypeVar("T")
_SPARE = 8 << 30  # taken as free on a system that has no figure for it


def choose_device(options: ModelOptions) -> torch.device:
    """Where to compute. Raises BadRequest for an accelerator that is not there."""
    available = torch.cuda.is_available()
    if options.device == "cuda" and not available:
        raise BadRequest(
            "device_missing",
            f"PyTorch {torch.__version__} finds no CUDA device on this machine.",
            "Use --device cpu, or install a PyTorch that was built for the graphics card.",
        )
    return torch.device("cuda" if available and options.device != "cpu" else "cpu")


def size_text(count: int) -> str:
    """A number of bytes as people say it."""
    return f"{count / 2**30:.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:.0f} MiB"


# What a CPU's allocator and convolutions say, which have no error type of their own for it.
_CPU_COMPLAINTS = (
    "can't allocate memory",
    "not enough memory",
    "could not create a memory",
    "could not create a primitive",
    "bad_alloc",
)


def ran_out(error: BaseException) -> bool:
    """Whether ``error`` says that memory has ended."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_COMPLAINTS)


def until_it_fits(attempt: Callable[[], T], shrink: Callable[[], bool], device: torch.device) -> T | None:
    """What ``attempt`` returns. Each time that memory ends, ``shrink`` makes the next one smaller, or raises.

    None once ``shrink`` returns False, for callers that must begin otherwise.
    """
    while True:
        try:
            return attempt()
        except Exception as error:
            if not ran_out(error):
                raise
        # Outside the handler, whose error holds on to every tensor of the failed attempt.
        go_on = shrink()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if not go_on:
            return None


def free_bytes(device: torch.device) -> int:
    """What can still be had on ``device``: of the machine, of its container, of this process."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    figures = [figure for figure in (_machine_bytes(), _container_bytes(), _process_bytes()) if figure is not None]
    return min(figures, default=_SPARE)


def _machine_bytes() -> int | None:
    if os.name == "nt":

        class Status(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
                (name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")
            ]

        status = Status(length=ctypes.sizeof(Status))
        known = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return status.free if known else None
    return _figure("/proc/meminfo", "MemAvailable:")


def _container_bytes() -> int | None:
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return None
    cached = _figure("/sys/fs/cgroup/memory.stat", "inactive_file", unit=1) or 0  # given back when it is wanted
    return None if limit == "max" else max(0, int(limit) - used + cached)


def _process_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, used = resource.getrlimit(resource.RLIMIT_AS)[0], address_space()
    return None if limit == resource.RLIM_INFINITY or used is None else max(0, limit - used)


def address_space() -> int | None:
    """Bytes of addresses that this process has taken, which is what a limit on it counts."""
    return _figure("/proc/self/status", "VmSize:")


def _figure(path: str, name: str, unit: int = 1024) -> int | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * unit for line in lines if line.startswith(name)), None)
