"""Finished windows on disk: what makes a stopped run continue, and long shots fit in memory."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..scene.checkpoint import load_dataclass, save_dataclass
from .prediction import Prediction

# Half precision is ample for what networks predict (its step is 0.05 %), and halves the disk; poses stay exact.
_STORED = np.float16
_LIMIT = float(np.finfo(_STORED).max)


class PredictionStore(Sequence):
    """Windows ``0..count-1`` as files of a folder; items are read anew each time they are asked for."""

    def __init__(self, folder: Path, count: int):
        self.folder, self.count = folder, count
        folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Prediction:
        if not 0 <= number < self.count:
            raise IndexError(number)
        stored = load_dataclass(self._path(number), Prediction)
        for name, value in vars(stored).items():
            if isinstance(value, np.ndarray) and value.dtype == _STORED:
                setattr(stored, name, value.astype(np.float32))
        return stored

    def save(self, number: int, prediction: Prediction) -> None:
        """Keep a window; it is there whole or not at all."""
        halves = {
            name: np.clip(value, -_LIMIT, _LIMIT).astype(_STORED)
            if isinstance(value, np.ndarray) and value.dtype == np.float32
            else value
            for name, value in vars(prediction).items()
        }
        save_dataclass(self._path(number), Prediction(**halves), compressed=False)

    def finished(self) -> frozenset[int]:
        """Windows that are there and readable; damaged ones are removed."""
        done = set()
        for number in range(self.count):
            path = self._path(number)
            if not path.exists():
                continue
            if zipfile.is_zipfile(path):
                done.add(number)
            else:
                path.unlink()
        return frozenset(done)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04d}.npz"
