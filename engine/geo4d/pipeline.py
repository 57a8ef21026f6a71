"""The one place that knows the order: footage, cuts, tracks, cameras, depth, scene; with resume and cancel."""

import dataclasses
import hashlib
import itertools
import json
import os
import time
from pathlib import Path

import numpy as np

from . import __version__
from .errors import BadRequest
from .footage import open_footage
from .footage.cuts import detect_cuts
from .footage.shot import Shot
from .matchmove.camera import solve_camera
from .matchmove.solve import POSE_INTERPOLATED, POSE_NAMES, Solve
from .multiview.depth import depth_size, estimate_depth
from .scene.depth_file import write_depth
from .scene.workspace import Workspace, output_errors
from .scene.writer import SceneInfo, update_footage_path, write_scene
from .tracking.track import track_shot
from .tracking.tracks import Tracks

TRACKS_MODEL = {"name": "tracks", "weights": None, "licence": "GPL-3.0-or-later", "commercial_use": True}

_MIN_FRAMES = 3


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything of a request that changes the result; part of the cache key."""

    first: int = 0  # footage index
    last: int | None = None  # footage index, inclusive; None = to the end
    step: int = 1
    fps: float | None = None  # for image sequences
    focal_px: float | None = None  # known focal length in footage pixels
    depth_long_side: int = 448  # longer side of the depth maps in pixels, 0 = no depth
    model: str = "tracks"


def reconstruct(footage: str | Path, output: str | Path, settings: Settings, progress, fresh: bool = False) -> dict:
    """Footage to a scene folder at ``output``; returns what ``result`` reports.

    A scene already made from the same footage and settings is returned as it is unless ``fresh``; a run that
    was stopped continues from its last finished stage, depth from its last finished frame.
    Raises :class:`geo4d.errors.GeoError`.
    """
    progress.advance("read", 0, 2)
    footage = os.path.abspath(footage)
    shot = open_footage(footage, first=settings.first, last=settings.last, step=settings.step, fps=settings.fps)
    _check_length(shot)
    footage_hash = shot.content_hash()
    progress.advance("read", 1, 2)
    key = cache_key(footage_hash, settings)
    with Workspace(output, key, fresh) as work:
        if work.is_finished():
            progress.log(f"{work.target} already holds this reconstruction")
            with output_errors(work.target):
                update_footage_path(work.target, footage)
            return {"scene": str(work.target), "cached": True}
        # Closed before publish(): Windows cannot rename a folder with an open file in it.
        with output_errors(work.folder), open(work.folder / "log.txt", "a", encoding="utf-8") as log_file:
            progress.log_file = log_file
            try:
                _run_stages(work, shot, settings, footage_hash, progress)
            finally:
                progress.log_file = None
        scene = work.publish(scratch=("cuts.npz", "notes.npz", "tracked.npz", "solve.npz", "solved_tracks.npz"))
    return {"scene": str(scene), "cached": False}


def cache_key(footage_hash: str, settings: Settings) -> str:
    """Hash of everything that determines the result."""
    parts = {"footage": footage_hash, "engine": __version__, **dataclasses.asdict(settings)}
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=20).hexdigest()


def _run_stages(work: Workspace, shot: Shot, settings: Settings, footage_hash: str, progress) -> None:
    notes = work.load("notes", _Notes) or _Notes()
    for warning in notes.warnings:
        progress.warn(**warning)
    seconds = notes.seconds
    progress.log(f"geo4d {__version__}, {shot.path}: {len(shot)} frames, {shot.width} x {shot.height}")
    for missing in getattr(shot, "warnings", ()):
        progress.warn(*missing)
    shot = _within_one_shot(work, shot, settings, progress)
    progress.advance("read", 2, 2)

    with _timed(seconds, "track"):
        tracks = work.load("tracked", Tracks)
        if tracks is None:
            tracks = track_shot(shot, progress)
            work.store("tracked", tracks)
    work.store("notes", _Notes(progress.warnings, seconds))
    with _timed(seconds, "solve"):
        solve, solved = work.load("solve", Solve), work.load("solved_tracks", Tracks)
        if solve is None or solved is None:
            solve = solve_camera(tracks, progress, focal_px=settings.focal_px, times=shot.times)
            work.store("solved_tracks", tracks)
            work.store("solve", solve)
        else:
            tracks = solved
    work.store("notes", _Notes(progress.warnings, seconds))
    _warn_about(solve, progress)
    with _timed(seconds, "depth"):
        size, measured = _write_depth(work, shot, solve, tracks, settings, progress)
    info = SceneInfo(
        model=TRACKS_MODEL,
        depth_size=size,
        depth_measured=measured,
        cache_key=work.key,
        footage_hash=footage_hash,
        step=settings.step,
        statistics={"seconds": {name: round(value, 2) for name, value in seconds.items()}},
        warnings=progress.warnings,
    )
    with output_errors(work.folder):
        write_scene(work.folder, shot, solve, tracks, info)


def _write_depth(work: Workspace, shot: Shot, solve: Solve, tracks: Tracks, settings: Settings, progress):
    """Depth files of all frames that are not there yet; returns the maps' (w, h) and whether depth was measured."""
    if not settings.depth_long_side:
        return (0, 0), False
    size = depth_size(shot.width, shot.height, settings.depth_long_side)
    folder = work.folder / "depth"
    have = frozenset(i for i in range(len(shot)) if _depth_path(folder, shot, i).exists())
    progress.resume("depth", len(have), len(shot))
    for position, frame in estimate_depth(shot, solve, tracks, size, progress, have=have):
        with output_errors(folder):
            write_depth(_depth_path(folder, shot, position), frame)
    return size, solve.motion == "moving"


def _depth_path(folder: Path, shot: Shot, position: int) -> Path:
    return folder / f"{int(shot.indices[position]):04d}.exr"


def _within_one_shot(work: Workspace, shot: Shot, settings: Settings, progress) -> Shot:
    """The longest part of ``shot`` without a cut; a camera exists only within one shot."""
    cuts = work.load("cuts", _Cuts)
    if cuts is None:
        cuts = _Cuts(np.asarray(detect_cuts(shot, progress), dtype=np.int64))
        work.store("cuts", cuts)
    if not len(cuts.positions):
        return shot
    edges = [0, *cuts.positions.tolist(), len(shot)]
    parts = list(itertools.pairwise(edges))
    begin, end = max(parts, key=lambda part: part[1] - part[0])
    first, last = int(shot.indices[begin]), int(shot.indices[end - 1])
    others = ", ".join(f"{int(shot.indices[a])}-{int(shot.indices[b - 1])}" for a, b in parts if a != begin)
    progress.warn(
        "shot_cuts",
        f"The footage cuts to another shot; frames {first}-{last}, its longest shot, are reconstructed.",
        f"For the others choose their frame range: {others}.",
    )
    part = open_footage(shot.path, first=first, last=last, step=settings.step, fps=settings.fps)
    _check_length(part)
    return part


def _check_length(shot: Shot) -> None:
    if len(shot) < _MIN_FRAMES:
        raise BadRequest(
            "too_few_frames",
            f"{shot.path} has {len(shot)} frame{'s' if len(shot) != 1 else ''} in the chosen range; "
            f"a camera needs at least {_MIN_FRAMES}.",
            "Choose a longer range or a smaller step.",
        )


def _warn_about(solve: Solve, progress) -> None:
    """Say in words what the numbers of a solve mean for the user."""
    interpolated = int(np.count_nonzero(solve.pose_source == POSE_INTERPOLATED))
    if interpolated:
        progress.warn(
            "poses_interpolated",
            f"{interpolated} of {len(solve)} cameras could not be measured and are interpolated.",
            "Frames marked 'interpolated' may slip; check them or shorten the range.",
        )
    if solve.motion == "tripod":
        progress.warn(
            "no_parallax",
            "The camera turns on the spot, so depth cannot be measured from this footage.",
            "The camera is solved and can be used; place objects by hand.",
        )
    elif solve.motion == "static":
        progress.warn(
            "static_camera",
            "The camera does not move, so neither its lens nor depth can be measured from this footage.",
            "The camera is held still with the given or an assumed focal length; set it if you know it.",
        )
    for source, name in enumerate(POSE_NAMES):
        count = int(np.count_nonzero(solve.pose_source == source))
        if count:
            progress.log(f"{count} poses {name}")


@dataclasses.dataclass
class _Cuts:
    positions: np.ndarray  # (C,) int64: positions that begin a new shot


@dataclasses.dataclass
class _Notes:
    """What a continued run must still know of the stopped one."""

    warnings: list[dict] = dataclasses.field(default_factory=list)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)


class _timed:  # noqa: N801 - reads as a statement
    """Adds the time of its body to ``seconds[name]``: a stage may be done in several runs."""

    def __init__(self, seconds: dict, name: str):
        self.seconds, self.name = seconds, name

    def __enter__(self):
        self.begun = time.perf_counter()

    def __exit__(self, *_):
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + time.perf_counter() - self.begun
