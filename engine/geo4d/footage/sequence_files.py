"""Which files make up an image sequence."""

import re
from pathlib import Path

from ..errors import FootageError
from .image_file import IMAGE_TYPES

_PATTERN = re.compile(r"#+|%0?\d*d")
_LAST_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$")


def names_a_sequence(path: Path) -> bool:
    """True for a folder, a pattern, or an image file; anything else is taken for a movie."""
    if path.is_dir():
        return True
    return path.suffix.lower() in IMAGE_TYPES


def find_files(path: Path) -> dict[int, Path]:
    """File number to file, sorted by number, of the sequence that ``path`` stands for.

    ``path`` is a folder, a pattern (``name.####.ext`` or ``name.%04d.ext``) or one file of the sequence. An
    image whose name holds no number is a sequence of one. Raises FootageError ``footage_missing`` or
    ``footage_ambiguous``.
    """
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file() and _PATTERN.search(path.name):
        return _by_pattern(path)
    if not path.is_file():
        raise FootageError("footage_missing", f"There is no file {path}.", "Check the path, or relink the footage.")
    if _split(path.name) is None:
        return {0: path}
    prefix, _, suffix = _split(path.name)
    return _numbered(path.parent, prefix, suffix)


def _in_folder(folder: Path) -> dict[int, Path]:
    groups: dict[tuple[str, str], list[Path]] = {}
    plain = []
    for file in _images(folder):
        parts = _split(file.name)
        if parts is None:
            plain.append(file)
        else:
            groups.setdefault((parts[0], parts[2]), []).append(file)
    if not groups and len(plain) == 1:
        return {0: plain[0]}
    if not groups:
        what = "images, but none has a frame number in its name" if plain else "no images"
        raise FootageError(
            "footage_missing",
            f"The folder {folder} holds {what}.",
            "Choose a folder with numbered images, such as 0001.png, 0002.png.",
        )
    # A stray still beside a sequence is no reason to stop; two real sequences are.
    long = {key: files for key, files in groups.items() if len(files) > 1} or groups
    if len(long) > 1:
        names = ", ".join(f"{prefix}#{suffix}" for prefix, suffix in sorted(long)[:4])
        raise FootageError(
            "footage_ambiguous",
            f"The folder {folder} holds {len(long)} sequences ({names}).",
            "Choose one file of the sequence that you want.",
        )
    return _numbered(folder, *next(iter(long)))


def _by_pattern(path: Path) -> dict[int, Path]:
    hole = _PATTERN.search(path.name)
    files = _numbered(path.parent, path.name[: hole.start()], path.name[hole.end() :])
    if not files:
        raise FootageError("footage_missing", f"No file matches {path}.", "Check the folder and the pattern.")
    return files


def _images(folder: Path) -> list[Path]:
    try:
        return sorted(
            p for p in folder.iterdir() if p.suffix.lower() in IMAGE_TYPES and p.name[0] != "." and p.is_file()
        )
    except FileNotFoundError as error:
        raise FootageError("footage_missing", f"There is no folder {folder}.", "Check the path.") from error
    except OSError as error:
        raise FootageError(
            "footage_unreadable", f"The folder {folder} cannot be read ({error}).", "Check its permissions."
        ) from error


def _split(name: str) -> tuple[str, str, str] | None:
    """``("plate.", "0012", ".exr")`` of ``plate.0012.exr``: the last number before the file type."""
    stem, dot, kind = name.rpartition(".")
    found = _LAST_NUMBER.match(stem)
    return (found[1], found[2], found[3] + dot + kind) if found else None


def _numbered(folder: Path, prefix: str, suffix: str) -> dict[int, Path]:
    """Images called prefix, digits, suffix, by number; how many digits does not matter."""
    numbered: dict[int, Path] = {}
    for file in _images(folder):
        digits = file.name[len(prefix) : len(file.name) - len(suffix)]
        if not (file.name.startswith(prefix) and file.name.endswith(suffix) and digits.isdecimal()):
            continue
        number = int(digits)
        if number in numbered:
            raise FootageError(
                "footage_ambiguous",
                f"{numbered[number].name} and {file.name} in {folder} are both frame {number}.",
                "Remove or rename one of them.",
            )
        numbered[number] = file
    return dict(sorted(numbered.items()))
