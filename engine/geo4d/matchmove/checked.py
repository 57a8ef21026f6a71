"""A camera from tracks, measured on tracks that it never saw, and graded."""

from typing import Literal

import numpy as np

from ..errors import BadRequest, SolveError
from ..progress import Progress
from ..tracking.tracks import Tracks
from . import held_out
from .camera import no_motion, part, solve_camera
from .refinement import as_grown, conclude
from .solve import Solve
from .zoom_camera import zooming_camera

Lens = Literal["auto", "fixed", "zoom"]
DOUBTFUL = 0.6  # share of the tracks that agree with one focal length, below which a zoom is tried on faint signs
ZOOM_GAIN = 0.1  # least relative gain in held-out cost that buys a focal length a frame


def solve_checked(
    tracks: Tracks,
    progress: Progress,
    focal_px: float | None = None,
    times: np.ndarray | None = None,
    lens: Lens = "auto",
) -> Solve:
    """:func:`.camera.solve_camera` on all tracks but the held-out ones, which then measure and grade it.

    Where the footage shows signs of a zoom it is solved with a focal length a frame as well, and that solve is taken
    where it explains the held-out tracks better by more than chance. ``lens`` says that it cannot zoom, or does.

    Fills ``tracks.static``, ``tracks.xyz`` and ``tracks.error_px`` of all tracks, held-out ones too;
    ``statistics["held_out"]`` follows the protocol of :mod:`.held_out`. Raises as ``solve_camera`` does.
    """
    if lens == "zoom" and focal_px is not None:
        raise BadRequest(
            "bad_lens",
            f"The lens cannot both have a known focal length ({focal_px:.0f} px) and zoom.",
            "Leave one of the two away.",
        )
    held = held_out.choose(tracks)
    training = part(tracks, ~held)
    times = np.arange(tracks.frame_count, dtype=np.float64) if times is None else times
    solve, trouble, said = None, None, _Kept(progress)
    if lens != "zoom":
        try:
            solve = solve_camera(training, said, focal_px, times)
        except SolveError as error:
            trouble = error
    if lens != "fixed" and focal_px is None and (solve is None or solve.motion != "static"):
        doubtful = solve is None or solve.statistics["static_share"] < DOUBTFUL
        said_of_zoom = _Kept(progress)
        zooming = zooming_camera(training, said_of_zoom, times, doubtful, lens == "zoom")
        if zooming is not None and _better(zooming, solve, tracks, held, progress):
            solve, said = zooming, said_of_zoom
    if solve is None:
        raise trouble or no_motion(tracks)
    for warning in said.warnings:
        progress.warn(*warning)
    given = as_grown(solve)
    solve = conclude(solve, given, given, tracks, held, None, focal_px is not None, progress)
    solve.statistics.pop("held_out_before", None)  # nothing came before
    return solve


def _better(zooming: Solve, fixed: Solve | None, tracks: Tracks, held: np.ndarray, progress: Progress) -> bool:
    if fixed is None:
        return True
    one, many = (held_out.robust_error(tracks, held, s.c2w, s.lenses()) for s in (fixed, zooming))
    progress.log(f"zoom: held-out cost {one:.4f} with one focal length, {many:.4f} with one a frame")
    if zooming.motion == "tripod" and fixed.motion == "moving":
        return many < one  # what explains as much without any travel is the simpler truth
    return many < (1 - ZOOM_GAIN) * one


class _Kept:
    """A progress whose warnings wait until it is known whether the solve that they are of is taken."""

    def __init__(self, progress: Progress):
        self.advance, self.log = progress.advance, progress.log
        self.warnings: list[tuple[str, str, str]] = []

    def warn(self, code: str, message: str, hint: str = "") -> None:
        self.warnings.append((code, message, hint))
