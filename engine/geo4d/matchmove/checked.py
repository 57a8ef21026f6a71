"""A camera from tracks, measured on tracks that it never saw, and graded."""

import numpy as np

from ..progress import Progress
from ..tracking.tracks import Tracks
from . import held_out
from .camera import part, solve_camera
from .refinement import as_grown, conclude
from .solve import Solve


def solve_checked(
    tracks: Tracks, progress: Progress, focal_px: float | None = None, times: np.ndarray | None = None
) -> Solve:
    """:func:`.camera.solve_camera` on all tracks but the held-out ones, which then measure and grade it.

    Fills ``tracks.static``, ``tracks.xyz`` and ``tracks.error_px`` of all tracks, held-out ones too;
    ``statistics["held_out"]`` follows the protocol of :mod:`.held_out`. Raises as ``solve_camera`` does.
    """
    held = held_out.choose(tracks)
    solve = solve_camera(part(tracks, ~held), progress, focal_px, times)
    given = as_grown(solve)
    solve = conclude(solve, given, given, tracks, held, None, focal_px is not None, progress)
    solve.statistics.pop("held_out_before", None)  # nothing came before
    return solve
