"""What every engine hands back to the run: cameras, tracks, and a way to make depth frame by frame."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass

from ..matchmove.solve import Solve
from ..multiview.depth_frame import DepthFrame
from ..tracking.tracks import Tracks

# ``make(have)`` yields (position, DepthFrame) of every frame not in ``have``.
MakeDepth = Callable[[Set[int]], Iterator[tuple[int, DepthFrame]]]


@dataclass
class Reconstruction:
    """A shot in one world."""

    solve: Solve
    tracks: Tracks
    depth_size: tuple[int, int]  # (w, h) of the maps, (0, 0) = none wanted
    depth_measured: bool  # False where depth says nothing beyond a place holder
    make_depth: MakeDepth
    model: dict  # {"name", "weights", "licence", "commercial_use"} for scene.json
    scratch: tuple[str, ...]  # what the engine kept in the workspace for a continued run
