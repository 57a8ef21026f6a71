"""A mover's distance in agreement with that of the same mover up to a second before and after.

What a figure's feet say of its distance is wrong for as long as a foot is below the picture or looks like the floor.
Settling, which asks the frames of a fifth of a second, does not help there: they are all wrong alike.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from . import dynamic, settling
from .depth_frame import DepthFrame
from .key_frames import KeyFrames
from .working_frames import every_second

GAPS_S = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)  # to the frames that are asked; chosen on procedural clips


class SteadyMovers:
    """Maps of a shot's frames with each mover at the distance that most frames give it. Any thread may ask.

    ``times`` (F,) in seconds; ``maps``: frame index to map, of as many frames as there are, each mover in them at one
    distance.
    """

    def __init__(self, times: np.ndarray, maps: Mapping[int, DepthFrame]):
        self.maps = maps
        gap = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        self.gaps = sorted({max(1, round(seconds / max(gap, 1e-6))) for seconds in GAPS_S})
        # All frames are key frames here, also those right beside.
        self._around = KeyFrames(times, 0.0, 1.05 * max(GAPS_S), self._moving)

    def frame(self, i: int, own: DepthFrame) -> DepthFrame:
        """The map ``own`` of frame i, its movers each moved as a whole."""
        movers = dynamic.groups((own.dynamic > dynamic.MOVES) & (own.depth > 0))
        if not movers or i not in self.maps:
            return own
        moving = dict([*self._around.around(i), self._moving(i)])
        depth = own.depth.copy()
        for mask in movers:
            depth[mask] *= np.float32(np.exp(settling.steadier(every_second(mask), i, moving, self.gaps)))
        return replace(own, depth=depth)

    def _moving(self, j: int) -> tuple[int, np.ndarray] | None:
        return (j, every_second(settling.moving_depth(self.maps[j]))) if j in self.maps else None
