"""How a stage tells the outside how far it is, and learns that it should stop."""

from typing import Protocol


class Progress(Protocol):
    """What every long-running stage receives.

    ``advance`` is called often (every frame); it raises :class:`geo4d.errors.Cancelled` once the run has
    been cancelled, so that a stage needs no cancel logic of its own. ``resume`` tells, before the first
    ``advance`` of a stage, how much of it an earlier run had done.
    """

    def advance(self, stage: str, done: int, total: int) -> None: ...

    def resume(self, stage: str, done: int, total: int) -> None: ...

    def warn(self, code: str, message: str, hint: str = "") -> None: ...

    def log(self, text: str) -> None: ...


class Silent:
    """Reports nothing and never cancels; keeps warnings for whoever wants them (tests, library use)."""

    def __init__(self):
        self.warnings: list[tuple[str, str, str]] = []

    def advance(self, stage: str, done: int, total: int) -> None:
        pass

    def resume(self, stage: str, done: int, total: int) -> None:
        pass

    def warn(self, code: str, message: str, hint: str = "") -> None:
        self.warnings.append((code, message, hint))

    def log(self, text: str) -> None:
        pass
