"""Cameras of a shot whose lens zooms: solved on evened tracks, then adjusted with a focal length a frame."""

from dataclasses import replace

import numpy as np

from ..errors import SolveError
from ..progress import Progress
from ..tracking.tracks import Tracks
from .camera import PER_KEY_FRAME, finish, part, solve_camera
from .moving import MAX_SIGMA, Grown
from .observations import Observations, pick_key_frames, thin
from .refinement import adjust_moving
from .solve import Solve
from .triangulation import RADIUS
from .tripod import INLIER_PX, finish_directions, solve_tripod, zoom_tripod
from .zoom import Course, courses, evened

LEAST_RANGE = 0.06  # of log focal length, for a course to be worth a try
LEAST_GAIN = 2.0  # of a course over one focal length, for a try where that one has done well
TURNS, MAY_TURN = 0.005, 0.05  # residuals up to which the camera turns, and up to which it may
EXPLAINED = 0.6  # share of the observations that agree with a camera that turns, for no other to be tried


def zooming_camera(
    tracks: Tracks, progress: Progress, times: np.ndarray, doubtful: bool, asked: bool = False
) -> Solve | None:
    """The solve with a focal length a frame, None where pairs of frames make a zoom unlikely or nothing agrees.

    Parameters
    ----------
    doubtful : one focal length has not done well, so that faint signs suffice.
    asked : a user says that the lens zooms: tried without any sign.
    """
    turning, travelling = courses(tracks, progress)

    def likely(course: Course) -> bool:
        return asked or (course.range > LEAST_RANGE and (doubtful or course.gain > LEAST_GAIN))

    turned = None
    if turning and likely(turning) and turning.residual < (MAY_TURN if doubtful or asked else TURNS):
        turned = turning_zoom(tracks, turning, progress)
        if turned.statistics["explained_share"] > EXPLAINED:
            return turned
    if travelling and likely(travelling):
        return travelling_zoom(tracks, travelling, progress, times) or turned
    return turned


def turning_zoom(tracks: Tracks, course: Course, progress: Progress) -> Solve:
    """A camera that turns on the spot while it zooms."""
    even = evened(tracks, course.ratio)
    keys = pick_key_frames(tracks)
    subset = Observations(part(even, thin(even, keys, PER_KEY_FRAME)))
    start = float(np.exp(np.log(course.focal_px).mean()))
    rotation, source, panorama = solve_tripod(subset, keys, start, False, progress)
    observations = Observations(tracks)
    panorama = zoom_tripod(observations, rotation, _zooming(panorama.lens, course), progress)
    lens = panorama.lens
    direction, error = finish_directions(observations, panorama.rotation, lens)
    agreed = float((error < INLIER_PX * tracks.working_scale).mean())
    c2w = np.tile(np.eye(4), (tracks.frame_count, 1, 1))
    c2w[:, :3, :3] = panorama.rotation
    statistics = {
        "points_depth": "nominal",
        "zoom": True,
        "focal_sigma_relative": round(panorama.focal_sigma, 5),
        "explained_share": round(agreed, 4),
        "key_frames": len(keys),
    }
    _tell("turns", lens, progress)
    if not panorama.focal_sigma < MAX_SIGMA:
        progress.warn(
            "focal_uncertain",
            f"The focal length is uncertain: all of it may be {100 * panorama.focal_sigma:.0f} % longer or shorter.",
            "Its course over the shot is known better; use a stretch in which the camera turns further.",
        )
    return finish(tracks, Grown("tripod", c2w, source, RADIUS * direction, lens, error, statistics), progress)


def travelling_zoom(tracks: Tracks, course: Course, progress: Progress, times: np.ndarray) -> Solve | None:
    """A camera that travels while it zooms; None where nothing agrees."""
    try:
        even = solve_camera(evened(tracks, course.ratio), progress, times=times)
    except SolveError as error:
        progress.log(f"zoom: {error}")
        return None
    if even.motion != "moving":
        return None
    start = replace(even, fx=even.fx * course.ratio, fy=even.fy * course.ratio)
    grown = adjust_moving(start, tracks, None, False, progress, zoom="zoom")
    if grown is None:
        return None
    grown = replace(grown, statistics={**even.statistics, **grown.statistics})
    _tell("travels", grown.lens, progress)
    return finish(tracks, grown, progress)


def _zooming(lens, course: Course):
    ones = np.ones(len(course.focal_px))
    return replace(lens, fx=lens.fx * course.ratio, fy=lens.fy * course.ratio, cx=lens.cx * ones, cy=lens.cy * ones)


def _tell(how: str, lens, progress: Progress) -> None:
    progress.log(
        f"zoom: the camera {how}, focal length {lens.fx.min():.1f} to {lens.fx.max():.1f} px, k1 {lens.k1:+.4f}"
    )
