"""The embedded engine ``tracks``: long tracks, structure from motion, multi-view depth."""

from ..footage.shot import Shot
from ..matchmove.checked import solve_checked
from ..matchmove.solve import Solve
from ..multiview.depth import depth_size, estimate_depth
from ..multiview.network import shipped_network
from ..scene.workspace import Workspace
from ..tracking.track import track_shot
from ..tracking.tracks import Tracks
from .engine import Reconstruction
from .notes import Notebook
from .settings import Settings

MODEL = {"name": "tracks", "weights": None, "licence": "GPL-3.0-or-later", "commercial_use": True}
MAPS = "maps"  # folder of unfinished depth
NETWORK = "depth network (CC0-1.0)"  # the weights that take part where they are there


def reconstruct_from_tracks(
    work: Workspace, shot: Shot, settings: Settings, notebook: Notebook, progress
) -> Reconstruction:
    tracks = tracked(work, shot, notebook, progress)
    with notebook.timed("solve"):
        solve, solved = work.load("solve", Solve), work.load("solved_tracks", Tracks)
        if solve is None or solved is None:
            solve = solve_checked(tracks, progress, settings.focal_px, shot.times, settings.lens)
            work.store("solved_tracks", tracks)
            work.store("solve", solve)
        else:
            tracks = solved
    notebook.save()
    network = shipped_network()
    size = depth_size(shot.width, shot.height, settings.depth_long_side) if settings.depth_long_side else (0, 0)
    return Reconstruction(
        solve=solve,
        tracks=tracks,
        depth_size=size,
        depth_measured=solve.motion == "moving" and size != (0, 0),
        make_depth=lambda have: estimate_depth(shot, solve, tracks, size, progress, have, network, work.folder / MAPS),
        model=MODEL if network is None else {**MODEL, "weights": NETWORK},
        scratch=("tracked.npz", "solve.npz", "solved_tracks.npz", MAPS),
    )


def tracked(work: Workspace, shot: Shot, notebook: Notebook, progress) -> Tracks:
    """The shot's long tracks, from the workspace where they are there already."""
    with notebook.timed("track"):
        tracks = work.load("tracked", Tracks)
        if tracks is None:
            tracks = track_shot(shot, progress)
            work.store("tracked", tracks)
    notebook.save()
    return tracks
