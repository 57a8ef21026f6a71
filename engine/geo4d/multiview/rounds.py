"""A round of agreement: a frame's map with its neighbours' pictures, then with the maps of the frames around it.

The fine sweep finds what one frame's neighbours confirm, settling spreads it over time, and from there the next sweep
finds more. Each round asks other neighbours, so that two rounds cost as much as one sweep over all.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future

from . import settling
from .depth_frame import DepthFrame
from .fine_sweep import fine_sweep
from .working_frames import WorkingFrames

REACH = max(settling.OFFSETS)  # frames before and after that a frame's map depends on
AHEAD = 3  # frames that are swept before they are needed, where there is someone to do it


class Round:
    """Maps of a shot's frames, made on demand. Frames are to be asked for in order: what lies behind is forgotten.

    ``before(j)`` gives the map of frame j that the round begins with, None where there is none; ``neighbours(j)`` the
    frames that the sweep asks. With a ``pool`` both are called from its threads, else from the caller's.
    """

    def __init__(
        self,
        frames: WorkingFrames,
        before: Callable[[int], DepthFrame | None],
        neighbours: Callable[[int], Sequence[int]],
        pool: Executor | None = None,
    ):
        self.frames, self.before, self.neighbours, self.pool = frames, before, neighbours, pool
        self.swept: dict[int, Future[settling.Known | None]] = {}

    def frame(self, i: int) -> DepthFrame | None:
        """The map of frame i after the round."""
        first, last = max(0, i - REACH), i + REACH
        for past in [j for j in self.swept if j < first]:
            del self.swept[past]
        for j in range(first, min(len(self.frames), last + 1 + (AHEAD if self.pool else 0))):
            if j not in self.swept:
                self.swept[j] = self.pool.submit(self._sweep, j) if self.pool else _done(self._sweep(j))
        around = {j: swept.result() for j, swept in self.swept.items() if j <= last}
        around = {j: known for j, known in around.items() if known is not None}
        return settling.settle(i, around, self.frames) if i in around else None

    def _sweep(self, j: int) -> settling.Known | None:
        before = self.before(j)
        return None if before is None else settling.Known(j, fine_sweep(j, before, self.frames, self.neighbours(j)))


def _done(result: settling.Known | None) -> "Future[settling.Known | None]":
    future: Future[settling.Known | None] = Future()
    future.set_result(result)
    return future
