"""One run: footage, cuts, an engine, depth, scene; with resume and cancel."""

import dataclasses
import itertools
import os
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import BadRequest
from ..footage import open_footage
from ..footage.cuts import detect_cuts
from ..footage.shot import Shot
from ..matchmove.solve import POSE_INTERPOLATED, POSE_NAMES, Solve
from ..models.windowed import check_model
from ..scene.depth_file import write_depth
from ..scene.workspace import Workspace, output_errors
from ..scene.writer import SceneInfo, update_footage_path, write_scene
from .engine import Reconstruction
from .notes import Notebook
from .settings import TRACKS, Settings, cache_key
from .tracks_engine import reconstruct_from_tracks

_MIN_FRAMES = 3


def reconstruct(footage: str | Path, output: str | Path, settings: Settings, progress, fresh: bool = False) -> dict:
    """Footage to a scene folder at ``output``; returns what ``result`` reports.

    A scene already made from the same footage and settings is returned as it is unless ``fresh``; a run that
    was stopped continues from its last finished stage, depth from its last finished frame.
    Raises :class:`geo4d.errors.GeoError`.
    """
    progress.advance("read", 0, 2)
    if settings.model != TRACKS:
        check_model(settings.model, settings.options)
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
                scratch = _run_stages(work, shot, settings, footage_hash, progress)
            finally:
                progress.log_file = None
        scene = work.publish(scratch)
    return {"scene": str(scene), "cached": False}


def _run_stages(work: Workspace, shot: Shot, settings: Settings, footage_hash: str, progress) -> tuple[str, ...]:
    """Everything up to the finished folder; returns the names of what is then of no more use."""
    notebook = Notebook(work, progress)
    progress.log(f"geo4d {__version__}, {shot.path}: {len(shot)} frames, {shot.width} x {shot.height}")
    for missing in getattr(shot, "warnings", ()):
        progress.warn(*missing)
    shot = _within_one_shot(work, shot, settings, progress)
    progress.advance("read", 2, 2)
    if settings.model == TRACKS:
        found = reconstruct_from_tracks(work, shot, settings, notebook, progress)
    else:
        from .model_engine import reconstruct_from_model  # torch only where it is wanted

        found = reconstruct_from_model(work, shot, settings, notebook, progress)
    _warn_about(found.solve, found.depth_measured, progress)
    with notebook.timed("depth"):
        _write_depth(work, shot, found, progress)
    info = SceneInfo(
        model=found.model,
        depth_size=found.depth_size,
        depth_measured=found.depth_measured,
        cache_key=work.key,
        footage_hash=footage_hash,
        step=settings.step,
        statistics={"seconds": {name: round(value, 2) for name, value in notebook.seconds.items()}},
        warnings=progress.warnings,
    )
    with output_errors(work.folder):
        write_scene(work.folder, shot, found.solve, found.tracks, info)
    return ("cuts.npz", "notes.npz", *found.scratch)


def _write_depth(work: Workspace, shot: Shot, found: Reconstruction, progress) -> None:
    """Depth files of all frames that are not there yet."""
    if found.depth_size == (0, 0):
        return
    folder = work.folder / "depth"
    have = frozenset(i for i in range(len(shot)) if _depth_path(folder, shot, i).exists())
    for position, frame in found.make_depth(have):
        with output_errors(folder):
            write_depth(_depth_path(folder, shot, position), frame)


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


def _warn_about(solve: Solve, depth_measured: bool, progress) -> None:
    """Say in words what the numbers of a solve mean for the user."""
    interpolated = int(np.count_nonzero(solve.pose_source == POSE_INTERPOLATED))
    if interpolated:
        progress.warn(
            "poses_interpolated",
            f"{interpolated} of {len(solve)} cameras could not be measured and are interpolated.",
            "Frames marked 'interpolated' may slip; check them or shorten the range.",
        )
    if depth_measured:
        return
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
