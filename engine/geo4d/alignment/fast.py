"""Fast alignment, the default: closed forms and second-order steps on few pixels, linear in the number of windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..models.prediction import Prediction
from ..progress import Progress
from .aligned import Aligned


@dataclass(frozen=True)
class AlignmentSettings:
    """What a user may know of the shot.

    focal_px : focal length in footage pixels; None = solved for.
    zoom : the focal length changes during the shot, smoothly.
    motion : how the camera moves; None = found out.
    """

    focal_px: float | None = None
    zoom: bool = False
    motion: Literal["moving", "tripod", "static"] | None = None


def align(
    predictions: Sequence[Prediction],
    frame_count: int,
    footage_size: tuple[int, int],
    progress: Progress,
    settings: AlignmentSettings = AlignmentSettings(),  # noqa: B008 - frozen
) -> Aligned:
    """One world from overlapping windows that together cover frames 0..``frame_count``-1.

    Parameters
    ----------
    predictions : windows in order of time; an item may be read from disk each time it is asked for.
    footage_size : (width, height) in pixels, square.

    Raises
    ------
    SolveError ``alignment_failed`` : not one window holds a usable shape or camera.
    """
    raise NotImplementedError
