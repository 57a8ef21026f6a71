"""Whether a model could run here, found out in a moment: without importing torch or opening weights."""

import ctypes
import importlib.metadata
import importlib.util
import os

from . import licence
from .registry import ModelCard, weights_path

_PACKAGES = ("torch", "safetensors")
_DRIVER = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"


def readiness(card: ModelCard) -> dict:
    """``ready``, ``device`` and ``torch`` of a model, and ``lacks``: one clause a thing that is missing."""
    packages = {name: _version(name) for name in _PACKAGES}
    lacks = [f'{name} is not installed (pip install "geo4d[gpu]")' for name, v in packages.items() if v is None]
    if not weights_path(card.name).is_file():
        lacks.append(f"no weights (geo4d models info {card.name})")
    if not licence.accepted(card):
        lacks.append(f"licence not accepted (geo4d models accept {card.name})")
    return {"ready": not lacks, "lacks": lacks, "torch": packages["torch"], "device": device(packages["torch"])}


def device(torch_version: str | None) -> str | None:
    """Where torch would compute: the name and memory of the first accelerator that it can use, or ``CPU``."""
    if torch_version is None:
        return None
    return "CPU" if torch_version.endswith("+cpu") else _accelerator() or "CPU"


def _version(package: str) -> str | None:
    if importlib.util.find_spec(package) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # importable all the same
        return "present"


def _accelerator() -> str | None:
    """Asked of the driver itself, which takes milliseconds where importing torch takes seconds."""
    try:
        driver = ctypes.CDLL(_DRIVER)
        count, handle, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
        name = ctypes.create_string_buffer(100)
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
            return None
        driver.cuDeviceGet(ctypes.byref(handle), 0)
        driver.cuDeviceGetName(name, len(name), handle)
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    except (OSError, AttributeError):  # no driver, or one that is too old
        return None
    return f"{name.value.decode(errors='replace')}, {memory.value / 2**30:.0f} GiB"
