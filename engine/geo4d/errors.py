"""Errors that reach a user: one clear sentence, a hint, a stable code and an exit status."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BAD_REQUEST = 2
EXIT_CANCELLED = 3
EXIT_OUT_OF_MEMORY = 4
EXIT_MODEL_MISSING = 5


class GeoError(Exception):
    """A failure that the user can act on.

    Attributes
    ----------
    code : stable lower_case_identifier for programs, e.g. ``"footage_missing"``.
    message : one sentence saying what is wrong, with the offending value in it.
    hint : one sentence saying what to do.
    exit_status : process exit status.
    """

    exit_status = EXIT_FAILED

    def __init__(self, code: str, message: str, hint: str = ""):
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class BadRequest(GeoError):
    """What was asked for cannot be done as asked: a bad file, option or range."""

    exit_status = EXIT_BAD_REQUEST


class FootageError(BadRequest):
    """The footage cannot be opened or decoded."""


class SolveError(GeoError):
    """The footage was read, but no camera can be solved from it."""


class OutputError(GeoError):
    """The result cannot be written (disk full, no permission)."""


class ModelMissing(GeoError):
    """A model's weights or its optional packages are absent."""

    exit_status = EXIT_MODEL_MISSING


class OutOfMemory(GeoError):
    """Not enough memory even after every fallback."""

    exit_status = EXIT_OUT_OF_MEMORY


class Cancelled(GeoError):
    """The user or the host asked the engine to stop; finished work stays on disk."""

    exit_status = EXIT_CANCELLED

    def __init__(self):
        super().__init__("cancelled", "Cancelled.", "Run the same command again to continue where it stopped.")
