"""Depth that a model predicted, brought to the refined cameras and the scene's maps."""

from collections.abc import Iterator, Set
from typing import Protocol

import cv2
import numpy as np

from ..geometry.camera import Intrinsics
from ..matchmove.solve import Solve
from ..progress import Progress
from ..tracking.tracks import Tracks
from .agreement import correct_depth
from .depth_frame import DepthFrame
from .working_frames import undistortion_map

# Where the linear blend of neighbouring pixels differs by more from the nearest one, an edge lies between them.
_EDGE = 0.02


class DepthMaps(Protocol):
    """Depth of every frame in the filmed (distorted) picture."""

    def frame(self, position: int) -> DepthFrame: ...


class CorrectedDepth:
    """Maps from before refinement, brought to the points of the refined ``solve`` frame by frame."""

    def __init__(self, maps: DepthMaps, solve: Solve, tracks: Tracks):
        self._maps, self._correction = maps, correct_depth(maps, solve, tracks)

    def frame(self, position: int) -> DepthFrame:
        frame = self._maps.frame(position)
        frame.depth = self._correction.apply(frame.depth, position)
        return frame


def predicted_depth(
    maps: DepthMaps, solve: Solve, size: tuple[int, int], progress: Progress, have: Set[int]
) -> Iterator[tuple[int, DepthFrame]]:
    """(position, DepthFrame) at ``size`` = (w, h) of every frame not in ``have``; ``maps`` are in ``solve``'s world."""
    progress.resume("depth", len(have), len(solve))
    for position in range(len(solve)):
        if position not in have:
            yield position, to_pinhole(maps.frame(position), solve.lens(position), size)
        progress.advance("depth", position + 1, len(solve))


def to_pinhole(frame: DepthFrame, lens: Intrinsics, size: tuple[int, int]) -> DepthFrame:
    """Maps of the filmed picture as maps of the undistorted one at ``size`` = (w, h), without blends across edges.

    ``lens`` is the footage's, at its resolution.
    """
    height, width = frame.depth.shape
    map_x, map_y, inside = undistortion_map(lens.scaled(*size))
    # From pixel indices at ``size`` to those of the maps at hand.
    x = ((map_x + 0.5) * (width / size[0]) - 0.5).astype(np.float32)
    y = ((map_y + 0.5) * (height / size[1]) - 0.5).astype(np.float32)

    def sample(values: np.ndarray, method: int) -> np.ndarray:
        return cv2.remap(values.astype(np.float32), x, y, method, borderMode=cv2.BORDER_REPLICATE)

    nearest, linear = sample(frame.depth, cv2.INTER_NEAREST), sample(frame.depth, cv2.INTER_LINEAR)
    smooth = np.abs(linear - nearest) < _EDGE * nearest
    depth = np.where(smooth, linear, nearest) * inside
    known = depth > 0
    return DepthFrame(
        depth=depth,
        confidence=sample(frame.confidence, cv2.INTER_LINEAR) * known,
        dynamic=sample(frame.dynamic, cv2.INTER_LINEAR) * inside,
    )
