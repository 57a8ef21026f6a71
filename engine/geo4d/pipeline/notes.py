"""What a continued run must still know of the stopped one: its warnings and how long its stages took."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..scene.workspace import Workspace


@dataclass
class _Notes:
    warnings: list[dict] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class Notebook:
    """Notes of a run in its workspace; opening it repeats the warnings of a stopped run."""

    def __init__(self, work: Workspace, progress):
        self._work, self._progress = work, progress
        notes = work.load("notes", _Notes) or _Notes()
        self.seconds = notes.seconds
        for warning in notes.warnings:
            progress.warn(**warning)

    @contextmanager
    def timed(self, stage: str):
        """Add the time of the body to ``seconds[stage]``: a stage may be done in several runs."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun

    def save(self) -> None:
        self._work.store("notes", _Notes(self._progress.warnings, self.seconds))
