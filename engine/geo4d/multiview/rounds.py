"""From maps of single frames to maps that agree: with neighbours' pictures, then with neighbours' maps, and again.

The fine sweep finds what one frame's neighbours confirm, settling spreads it over time, and from there the next sweep
finds more. Each round asks other neighbours, so that two rounds cost as much as one sweep over all.
"""

from collections.abc import Callable, Sequence

from . import settling
from .depth_frame import DepthFrame
from .fine_sweep import fine_sweep
from .working_frames import WorkingFrames

ROUNDS = 2
REACH = ROUNDS * max(settling.OFFSETS)  # frames before and after that a frame's map depends on


class Rounds:
    """Maps of a shot's frames, made on demand. Frames are to be asked for in order: what lies behind is forgotten.

    ``single(j)`` gives the map of frame j on its own, None where there is none; ``neighbours(j)`` the frames that see
    its scene from elsewhere, as :func:`.neighbours.choose_neighbours` orders them.
    """

    def __init__(
        self,
        frames: WorkingFrames,
        single: Callable[[int], DepthFrame | None],
        neighbours: Callable[[int], Sequence[int]],
    ):
        self.frames, self.single, self.neighbours = frames, single, neighbours
        self.swept: list[dict[int, DepthFrame]] = [{} for _ in range(ROUNDS)]

    def frame(self, i: int) -> DepthFrame | None:
        """The map of frame i after all rounds."""
        return self._settled(ROUNDS - 1, i)

    def _settled(self, turn: int, i: int) -> DepthFrame | None:
        maps = self.swept[turn]
        first, last = max(0, i + min(settling.OFFSETS)), min(len(self.frames) - 1, i + max(settling.OFFSETS))
        for past in [j for j in maps if j < first]:
            del maps[past]
        for j in range(first, last + 1):
            if j not in maps and (swept := self._sweep(turn, j)) is not None:
                maps[j] = swept
        return settling.settle(i, maps, self.frames.c2w, self.frames.lenses) if i in maps else None

    def _sweep(self, turn: int, j: int) -> DepthFrame | None:
        before = self._settled(turn - 1, j) if turn else self.single(j)
        if before is None:
            return None
        # Neighbours come ordered by parallax on each side: every second one, the wider ones first.
        return fine_sweep(j, before, self.frames, self.neighbours(j)[ROUNDS - 1 - turn :: ROUNDS])
