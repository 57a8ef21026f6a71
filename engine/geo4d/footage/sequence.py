"""Numbered image files as a Shot."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import FootageError
from . import frame_range
from .image_file import EXR_TYPES, exr_pixel_aspect, read_image
from .resample import fit
from .sequence_files import find_files

DEFAULT_FPS = 24.0
_HASH_BLOCK = 1 << 22


class ImageSequence:
    """A :class:`~geo4d.footage.shot.Shot` over image files.

    ``indices`` are file numbers minus the first file's number, so a missing file leaves a hole and keeps every
    later frame in its place; ``gaps`` lists the missing indices of the range.
    """

    variable_frame_rate = False

    def __init__(self, path: Path, first: int = 0, last: int | None = None, step: int = 1, fps: float | None = None):
        numbered = find_files(path)
        numbers = np.array(list(numbered), dtype=np.int64)
        available = numbers - numbers[0]
        files = list(numbered.values())
        chosen = frame_range.choose(available, first, last, step, str(path))
        self.path = str(path)
        self.indices = available[chosen]
        self.fps = DEFAULT_FPS if fps is None else float(fps)
        self.times = self.indices / self.fps
        self.frame_count = int(available[-1]) + 1
        self.warnings: list[tuple[str, str, str]] = []
        self._files = [files[i] for i in chosen]
        self._range = (first, last, step)
        self.gaps = self._find_gaps(available, first, self.frame_count - 1 if last is None else last, step)
        self.height, self.width = read_image(self._files[0]).shape[:2]
        self.pixel_aspect = exr_pixel_aspect(self._files[0]) if self._files[0].suffix.lower() in EXR_TYPES else 1.0
        if len(self._files) > 1:
            self._decode(len(self._files) - 1)  # a change of size or a cut-off copy shows at once, not an hour in

    def __len__(self) -> int:
        return len(self._files)

    def read(self, size: tuple[int, int] | None = None, gray: bool = False, start: int = 0) -> Iterator[np.ndarray]:
        """See :meth:`geo4d.footage.shot.Shot.read`."""
        for position in range(start, len(self)):
            yield fit(self._decode(position), size, gray)

    def read_at(
        self, positions: Sequence[int], size: tuple[int, int] | None = None, gray: bool = False
    ) -> list[np.ndarray]:
        """See :meth:`geo4d.footage.shot.Shot.read_at`."""
        return [fit(self._decode(range(len(self))[position]), size, gray) for position in positions]

    def content_hash(self) -> str:
        """See :meth:`geo4d.footage.shot.Shot.content_hash`. Folder and file names do not count, numbers do."""
        digest = hashlib.blake2b(digest_size=20)
        digest.update(f"sequence {self._range} {self.fps!r}".encode())
        for index, file in zip(self.indices, self._files, strict=True):
            digest.update(f" {index} {file.suffix.lower()} {file.stat().st_size} ".encode())
            hash_file(digest, file)
        return digest.hexdigest()

    def _decode(self, position: int) -> np.ndarray:
        file = self._files[position]
        image = read_image(file)
        h, w = image.shape[:2]
        if (w, h) != (self.width, self.height):
            raise FootageError(
                "footage_mixed_sizes",
                f"{file} is {w} x {h}, but the sequence began with {self.width} x {self.height}.",
                "Use images of one size, or choose a range of equal sizes.",
            )
        return image

    def _find_gaps(self, available: np.ndarray, first: int, last: int, step: int) -> list[int]:
        gaps = sorted(set(range(first, last + 1, step)) - set(available.tolist()))
        if gaps:
            shown = ", ".join(str(g) for g in gaps[:8]) + (" ..." if len(gaps) > 8 else "")
            files = "file is" if len(gaps) == 1 else "files are"
            self.warnings.append(
                (
                    "footage_gaps",
                    f"{len(gaps)} {files} missing from the sequence {self.path} (frames {shown}).",
                    "Render the missing frames, or go on without them.",
                )
            )
        return gaps


def hash_file(digest, file: Path) -> None:
    """Feed a file's bytes to a hashlib digest in blocks."""
    with open(file, "rb", buffering=0) as stream:
        while block := stream.read(_HASH_BLOCK):
            digest.update(block)
