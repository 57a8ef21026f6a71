"""The engines of ``models/``: windows predicted, aligned to one world, refined against long tracks."""

import copy
from dataclasses import dataclass

import numpy as np

from ..alignment.aligned import Aligned
from ..alignment.fast import AlignmentSettings, align
from ..errors import SolveError
from ..footage.shot import Shot
from ..matchmove.checked import solve_checked
from ..matchmove.refinement import refine
from ..matchmove.solve import Solve
from ..models import registry
from ..models.prediction_store import PredictionStore
from ..models.windowed import STAGE, ModelRequest, open_model, weights_file, weights_identity
from ..multiview.depth import depth_size
from ..multiview.predicted import CorrectedDepth, DepthMaps, predicted_depth
from ..multiview.window_depth import WindowDepth
from ..scene.workspace import Workspace, output_errors
from ..tracking.tracks import Tracks
from .engine import Reconstruction
from .notes import Notebook
from .settings import Settings
from .tracks_engine import tracked

_DOUBTFUL = 0.7  # share of the tracks' observations that agree with the refined cameras
_BETTER = 1.15  # ratio of that share from which other cameras are taken
_BETTER_THAN_ROUGH = 0.9  # the same against a rough model's cameras, which have to explain more than the tracks' own
WINDOWS = "windows"  # folder of the predictions in the workspace, and name of their count


@dataclass
class WindowCount:
    """How many windows the shot has, so that a run with all of them need not open the model."""

    count: int


def reconstruct_from_model(
    work: Workspace, shot: Shot, settings: Settings, notebook: Notebook, progress
) -> Reconstruction:
    card = registry.card(settings.model)
    if not card.commercial_use:
        progress.warn("licence", f"{card.title}: {card.licence_note}", "What it makes may not be used commercially.")
    with notebook.timed("predict"):
        windows = _predict(work, shot, settings, progress)
    notebook.save()
    with notebook.timed("align"):
        aligned = _align(windows, shot, settings, progress)
    tracks = tracked(work, shot, notebook, progress)
    with notebook.timed("solve"):
        solve, tracks, own = _cameras(aligned, tracks, shot, settings, progress)
        own &= not card.rough  # whose windows were aligned by cameras that refinement has moved far from
    notebook.save()
    size = _depth_size(shot, aligned, settings.depth_long_side)
    return Reconstruction(
        solve=solve,
        tracks=tracks,
        depth_size=size,
        depth_measured=size != (0, 0),
        make_depth=lambda have: predicted_depth(
            _maps(aligned, windows, solve, tracks, own), solve, size, progress, have
        ),
        model={
            "name": card.name,
            "weights": weights_identity(weights_file(card.name, settings.options)),
            "licence": card.licence,
            "commercial_use": card.commercial_use,
        },
        scratch=(WINDOWS, f"{WINDOWS}.npz", "tracked.npz"),
    )


def _predict(work: Workspace, shot: Shot, settings: Settings, progress) -> PredictionStore:
    """Every window's prediction on disk; the model is opened only where one is missing."""

    def read(positions, size: tuple[int, int]) -> np.ndarray:
        return np.stack(shot.read_at(positions, size=size))

    known = work.load(WINDOWS, WindowCount)
    folder = work.folder / WINDOWS
    if known is not None:
        store = PredictionStore(folder, known.count)
        if len(store.finished()) == len(store):
            progress.advance(STAGE, 1, 1)
            return store
    request = ModelRequest(shot.width, shot.height, len(shot), shot.fps, read, settings.options)
    model = open_model(settings.model, request, progress)
    work.store(WINDOWS, WindowCount(len(model.windows)))
    store = PredictionStore(folder, len(model.windows))
    finished = store.finished()
    progress.resume(STAGE, len(finished), len(store))
    for number, prediction in model.run(finished):
        with output_errors(folder):
            store.save(number, prediction)
    progress.advance(STAGE, 1, 1)
    return store


def _align(windows: PredictionStore, shot: Shot, settings: Settings, progress) -> Aligned:
    size = (shot.width, shot.height)
    if settings.options.exact:
        from ..alignment import reference  # torch only where it is wanted

        return reference.align(windows, len(shot), size, progress)
    chosen = AlignmentSettings(focal_px=settings.focal_px, zoom=settings.lens == "zoom")
    return align(windows, len(shot), size, progress, chosen)


def _maps(aligned: Aligned, windows: PredictionStore, solve: Solve, tracks: Tracks, own: bool) -> DepthMaps:
    """Depth in the world of ``solve``, whose cameras are refined from the model's ``own`` or not."""
    if not own:
        maps = WindowDepth(windows, solve, tracks, aligned)
        if maps.usable:
            return maps
    return CorrectedDepth(aligned, solve, tracks)


def _cameras(aligned: Aligned, tracks: Tracks, shot: Shot, settings: Settings, progress) -> tuple[Solve, Tracks, bool]:
    """The refined cameras, the tracks with their verdicts, and whether the cameras are the model's own.

    Where the model's cameras were so far off that much of the picture cannot be brought to agree with them, the
    tracks solve on their own as well, and the cameras that more of the picture agrees with are taken. Where the model
    is known to be rough, that is always done.
    """
    rough = registry.card(settings.model).rough
    alone = copy.deepcopy(tracks)
    solve = refine(
        aligned.solve, tracks, progress, aligned, fixed_focal=settings.focal_px is not None, zoom=settings.lens
    )
    explained = solve.statistics["quality"]["explained_share"]
    if explained >= _DOUBTFUL and not rough:
        return solve, tracks, True
    progress.log(f"the model's cameras explain {100 * explained:.0f} % of the tracks: solved from the tracks alone too")
    try:
        second = solve_checked(alone, progress, settings.focal_px, shot.times, settings.lens)
    except SolveError as error:
        progress.log(f"no cameras from the tracks alone: {error}")
        return solve, tracks, True
    if second.statistics["quality"]["explained_share"] < explained * (_BETTER_THAN_ROUGH if rough else _BETTER):
        return solve, tracks, True
    if rough:
        return second, alone, False
    progress.warn(
        "cameras_from_tracks",
        "The model's cameras contradict the footage; the cameras are solved from its tracks alone.",
        "Depth is still the model's: check it, or use the engine tracks.",
    )
    return second, alone, False


def _depth_size(shot: Shot, aligned: Aligned, long_side: int) -> tuple[int, int]:
    """Of the maps to write: as wanted, but no finer than what was predicted."""
    return (
        depth_size(shot.width, shot.height, min(long_side, max(aligned.width, aligned.height))) if long_side else (0, 0)
    )
