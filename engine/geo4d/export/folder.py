"""Targets that appear only when they are whole: a folder of files, or one text file."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..scene.checkpoint import replace_atomically
from ..scene.workspace import output_errors


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` whose files are moved into it when the block ends without error.

    Other files in ``target`` are left alone; files of the same name are replaced.
    """
    with output_errors(target):
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            target.mkdir(exist_ok=True)
            for file in sorted(temporary.iterdir()):
                os.replace(file, target / file.name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_lines(target: Path, lines: list[str]) -> None:
    """Write ``lines`` to the text file ``target``, whole or not at all."""
    text = "\n".join(lines) + "\n"
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(target, lambda path: path.write_text(text, encoding="utf-8"))
