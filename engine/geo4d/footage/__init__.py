"""Footage in: movies and image sequences as a Shot whose frames are streamed, never held all at once."""

from pathlib import Path

from ..errors import FootageError
from .shot import Shot

__all__ = ["Shot", "open_footage"]


def open_footage(
    path: str | Path, first: int = 0, last: int | None = None, step: int = 1, fps: float | None = None
) -> Shot:
    """Open a movie or an image sequence.

    Parameters
    ----------
    path : a movie; a folder of numbered images; a pattern such as ``plate.####.exr`` or ``plate.%04d.exr``; or
        any one image of a sequence.
    first, last : range of footage indices, both included; ``last`` None means the end.
    step : every how many-th frame of the range is used.
    fps : frames per second. Image sequences have none of their own (24 unless given); a movie's stated rate is
        overridden, its time stamps are kept.

    Returns
    -------
    A :class:`~geo4d.footage.shot.Shot` that also has ``pixel_aspect`` (width of a pixel over its height),
    ``gaps`` (footage indices in the range that have no file) and ``warnings``, a list of (code, message, hint).

    Raises
    ------
    FootageError
        footage_missing, footage_unreadable, footage_empty, footage_not_video, footage_no_video,
        footage_truncated, footage_undecodable, footage_mixed_sizes, footage_ambiguous, footage_range or
        footage_rate.
    """
    from . import movie, sequence, sequence_files  # decoders load only when footage is opened

    if fps is not None and not 0 < fps < float("inf"):
        raise FootageError("footage_rate", f"{fps} is not a frame rate.", "Give a number above zero, such as 24.")
    if step < 1:
        raise FootageError("footage_range", f"The frame step is {step}.", "Give a whole number of 1 or more.")
    path = Path(path)
    if sequence_files.names_a_sequence(path):
        return sequence.ImageSequence(path, first, last, step, fps)
    return movie.Movie(path, first, last, step, fps)
