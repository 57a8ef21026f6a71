"""Stage results on disk, whole or not at all: dataclasses of arrays as .npz, without pickles."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_META = "__meta__"


def replace_atomically(path: Path, write) -> None:
    """Call ``write(temporary_path)`` and move the finished, flushed file to ``path``.

    A reader sees the old file or the whole new one, also after a crash or a full disk.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_arrays(path: Path, compressed: bool = True, **arrays: np.ndarray) -> None:
    """Named arrays to one .npz, atomically. Compressing pays for integers and masks, not for noisy half floats."""
    save = np.savez_compressed if compressed else np.savez

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as handle:  # a handle, or NumPy would append .npz to the temporary name
            save(handle, **arrays)

    replace_atomically(path, write)


def save_dataclass(path: Path, value, compressed: bool = True) -> None:
    """A flat dataclass of arrays and plain values to .npz; read back by :func:`load_dataclass`."""
    arrays, meta = {}, {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if isinstance(item, np.ndarray):
            arrays[field.name] = item
        else:
            meta[field.name] = item
    save_arrays(path, compressed, **arrays, **{_META: np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)})


def load_dataclass(path: Path, kind: type[T]) -> T:
    """Inverse of :func:`save_dataclass`. Raises OSError, ValueError or KeyError for an unreadable file."""
    with np.load(path, allow_pickle=False) as data:
        values = json.loads(data[_META].tobytes().decode())
        values.update({name: data[name] for name in data.files if name != _META})
    return kind(**values)
