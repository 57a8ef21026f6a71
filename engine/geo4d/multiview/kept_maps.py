"""Maps of a shot's frames between the passes that make them: in memory, or in a folder for a run that continues."""

import shutil
import zipfile
import zlib
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import numpy as np

from ..errors import OutputError
from ..scene.checkpoint import save_arrays
from ..scene.workspace import output_errors
from .depth_frame import DepthFrame

Maps = MutableMapping[int, DepthFrame]  # by frame index


class KeptMaps(Maps):
    """Maps in a folder, a file each, whole or not at all. The folder appears with the first.

    Raises :class:`~geo4d.errors.OutputError` where the disk refuses, and for a file that cannot be read.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._there = {int(path.stem) for path in folder.glob("*.npz")} if folder.is_dir() else set()

    def __setitem__(self, i: int, frame: DepthFrame) -> None:
        half = {"confidence": frame.confidence.astype(np.float16), "dynamic": frame.dynamic.astype(np.float16)}
        with output_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            save_arrays(self._path(i), compressed=False, depth=frame.depth.astype(np.float32), **half)
        self._there.add(i)

    def __getitem__(self, i: int) -> DepthFrame:
        if i not in self._there:
            raise KeyError(i)
        try:
            with np.load(self._path(i), allow_pickle=False) as data:
                return DepthFrame(*(data[name].astype(np.float32) for name in ("depth", "confidence", "dynamic")))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            self._path(i).unlink(missing_ok=True)
            raise OutputError(
                "draft_unreadable",
                f"The unfinished depth map {self._path(i)} cannot be read ({error}).",
                "Run again; this frame is made anew.",
            ) from error

    def __delitem__(self, i: int) -> None:
        self._there.remove(i)
        self._path(i).unlink(missing_ok=True)

    def __contains__(self, i: object) -> bool:
        return i in self._there

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._there))

    def __len__(self) -> int:
        return len(self._there)

    def clear(self) -> None:
        """Forget all, and the folder; what the disk does not let go of goes at the end of the run."""
        self._there.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, i: int) -> Path:
        return self._folder / f"{i:06d}.npz"
