"""How far a solve can be trusted: a grade a frame and one for the shot, with the numbers behind it.

A frame is as good as the worst of its reprojection error, the number of its static tracks, how much of the picture
they cover, and how far the camera moved around them. The shot also counts its errors on held-out tracks, how well
its focal length is seen, and how much of the picture agrees with one still world at all.
"""

import numpy as np

from ..tracking.tracks import Tracks
from .solve import POSE_INTERPOLATED, Solve
from .triangulation import triangulation_angles

GOOD, FAIR, POOR = 0, 1, 2
GRADES = ("good", "fair", "poor")
CELLS = 8  # across the picture's longer side, for the spread of tracks

# (good, fair): the least or the most that still earns the grade. Pixels are of the image that was tracked.
MOST_ERROR_PX = (0.6, 1.5)
MOST_HELD_OUT_P95_PX = (2.0, 6.0)
LEAST_TRACKS = (40, 12)
LEAST_SPREAD = (0.25, 0.1)
LEAST_PARALLAX_DEG = (0.7, 0.15)
MOST_FOCAL_SIGMA = (0.02, 0.08)  # relative
LEAST_EXPLAINED = (0.5, 0.3)  # share of the observations that agree with one still world
POOR_FRAMES = 0.2  # share of poor frames that makes a shot poor
LESSER_FRAMES = 0.2  # share of frames that are not good from which a shot is not good

FRAME_QUALITY = np.dtype(
    [("grade", np.uint8), ("static_tracks", np.int32), ("spread", np.float32), ("parallax_deg", np.float32)]
)


def grade_frames(solve: Solve, tracks: Tracks) -> np.ndarray:
    """(F,) FRAME_QUALITY of a solve whose verdicts on ``tracks`` have been written into them.

    ``static_tracks``: static tracks with a point; ``spread``: share of the picture's square cells that hold one;
    ``parallax_deg``: the median of the largest angles between rays of the frame's static tracks, NaN for a camera
    that does not travel.
    """
    used = tracks.static & np.isfinite(tracks.xyz[:, 0])
    rows = np.flatnonzero(used[tracks.track])
    t, f = tracks.track[rows], tracks.frame[rows]
    out = np.zeros(len(solve), dtype=FRAME_QUALITY)
    out["static_tracks"] = np.bincount(f, minlength=len(solve))
    side = max(tracks.width, tracks.height) / CELLS
    columns, lines = int(np.ceil(tracks.width / side)), int(np.ceil(tracks.height / side))
    place = np.clip((tracks.xy[rows] / side).astype(np.int64), 0, [columns - 1, lines - 1])
    cell = np.unique((f.astype(np.int64) * lines + place[:, 1]) * columns + place[:, 0])
    out["spread"] = np.bincount(cell // (lines * columns), minlength=len(solve)) / (lines * columns)
    out["parallax_deg"] = np.nan
    if solve.motion == "moving":
        angle = triangulation_angles(tracks.xyz, tracks.track, tracks.frame, solve.c2w)[t]
        order = np.argsort(f, kind="stable")
        bounds = np.searchsorted(f[order], np.arange(len(solve) + 1))
        for i in range(len(solve)):
            some = angle[order[bounds[i] : bounds[i + 1]]]
            out["parallax_deg"][i] = np.median(some) if len(some) else 0.0
    scale = tracks.working_scale
    error = np.nan_to_num(solve.reprojection_error_px, nan=np.inf)
    grades = [
        at_most(error, MOST_ERROR_PX, scale),
        at_least(out["static_tracks"], LEAST_TRACKS),
        at_least(out["spread"], LEAST_SPREAD),
    ]
    if solve.motion == "moving":
        grades.append(at_least(out["parallax_deg"], LEAST_PARALLAX_DEG))
    out["grade"] = np.where(solve.pose_source == POSE_INTERPOLATED, POOR, np.max(grades, axis=0))
    return out


def at_most(value, limits: tuple[float, float], scale: float = 1.0) -> np.ndarray:
    """Grade of values that had better be small."""
    value = np.asarray(value, dtype=np.float64)
    return (value > limits[0] * scale).astype(np.uint8) + (value > limits[1] * scale).astype(np.uint8)


def at_least(value, limits: tuple[float, float]) -> np.ndarray:
    """Grade of values that had better be large."""
    value = np.asarray(value, dtype=np.float64)
    return (value < limits[0]).astype(np.uint8) + (value < limits[1]).astype(np.uint8)


def grade_shot(solve: Solve, tracks: Tracks, frames: np.ndarray, focal_sigma: float | None) -> dict:
    """The shot's grade and numbers, for ``statistics["quality"]``.

    ``focal_sigma`` is the relative standard deviation of the focal length: 0 where the user gave it, None where the
    footage cannot tell it.
    """
    scale = tracks.working_scale
    held = solve.statistics.get("held_out") or {}
    explained = float(tracks.static[tracks.track].mean()) if len(tracks.track) else 0.0
    numbers = {
        "reprojection_error_px": _median(solve.reprojection_error_px),
        "held_out_median_px": held.get("median_px"),
        "held_out_p95_px": held.get("p95_px"),
        "static_tracks": int(np.median(frames["static_tracks"])),
        "spread": round(float(np.median(frames["spread"])), 3),
        "parallax_deg": _median(frames["parallax_deg"]),
        "explained_share": round(explained, 3),
        "focal_sigma_percent": None if focal_sigma is None else round(100 * focal_sigma, 3),
    }
    poor, lesser = float((frames["grade"] == POOR).mean()), float((frames["grade"] != GOOD).mean())
    few = POOR if poor > POOR_FRAMES else FAIR if poor > 0 or lesser > LESSER_FRAMES else GOOD
    error, p95 = numbers["reprojection_error_px"], numbers["held_out_p95_px"]
    checks = [
        (at_most(np.inf if error is None else error, MOST_ERROR_PX, scale), "the tracks miss their points by much"),
        (at_least(numbers["static_tracks"], LEAST_TRACKS), "few still features could be followed"),
        (at_least(numbers["spread"], LEAST_SPREAD), "the still features cover little of the picture"),
        (at_least(explained, LEAST_EXPLAINED), "much of the picture moves by itself"),
    ]
    if p95 is not None:
        checks.append((at_most(p95, MOST_HELD_OUT_P95_PX, scale), "tracks held back from the solve disagree with it"))
    if solve.motion == "moving":
        checks.append(
            (
                at_least(numbers["parallax_deg"], LEAST_PARALLAX_DEG),
                "the camera hardly travels, so there is no parallax",
            )
        )
    if focal_sigma is None:
        checks.append((FAIR, "the footage cannot tell the focal length"))
    else:
        checks.append((at_most(focal_sigma, MOST_FOCAL_SIGMA), "the focal length is uncertain"))
    worst = max(int(grade) for grade, _ in checks)
    reasons = [text for grade, text in checks if int(grade) == worst and worst > GOOD]
    if few > worst:
        worst, reasons = few, []
    if few == worst and few > GOOD:
        count = int((frames["grade"] != GOOD).sum())
        reasons.insert(0, f"{count} of {len(frames)} frames are less than good")
    return {
        "grade": GRADES[worst],
        "reason": sentence(reasons),
        **numbers,
        "frames": {name: int((frames["grade"] == number).sum()) for number, name in enumerate(GRADES)},
    }


def sentence(reasons: list[str]) -> str:
    """``a; b.`` with a capital, empty for no reasons."""
    text = "; ".join(reasons)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _median(values: np.ndarray) -> float | None:
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    return round(float(np.median(values)), 3) if len(values) else None
