"""From maps of single frames to maps that agree over the whole shot, in three passes.

1. Drafts: each frame on its own, then a round with some of its neighbours (:mod:`.rounds`).
2. What the seconds around say together, of motion (:mod:`.background`, :mod:`.colours`) and of depth
   (:mod:`.consensus`); movers as whole figures (:mod:`.figures`); then a round with the other neighbours.
3. What the seconds around say together, once more, and movers at a steady distance (:mod:`.steady_movers`).

Each pass looks at the maps of the pass before from long before to long after a frame, so these are kept: in a folder,
where a run that was stopped finds them again, or in memory.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from ..progress import Progress
from .background import Background
from .colours import Colours
from .consensus import Consensus
from .depth_frame import DepthFrame
from .figures import whole
from .ground import Floor
from .kept_maps import Maps
from .rounds import Round
from .steady_movers import SteadyMovers
from .working_frames import WorkingFrames

# Of log depth, see Consensus. At first much may be wrong; what hides something else must not be taken for an error.
TOLERANCES = (0.5, 0.3)
THREADS = 2
AHEAD = 4  # frames that are being made while one is waited for


def neighbours_of_pass(chosen: Sequence[int], number: int) -> list[int]:
    """Neighbours that a pass (0 or 1) asks: every second one as they come ordered by parallax, wide ones first."""
    return list(chosen[1 - number :: 2])


def second_and_third(
    frames: WorkingFrames,
    times: np.ndarray,
    drafts: Maps,
    agreed: Maps,
    neighbours: Callable[[int], Sequence[int]],
    floor: Floor | None,
    wanted: Iterable[int],
    progress: Progress,
) -> Iterator[tuple[int, DepthFrame]]:
    """Finished maps of the frames ``wanted``, in order, from the drafts of all.

    ``agreed`` takes the maps of the second pass, those there already are not made again; ``neighbours(i)`` are all of
    frame i's, called from any thread. Once all maps of the second pass are made the drafts are dropped.
    """
    wanted = list(wanted)
    # Those that have no draft (in a measurement of some frames only) have nothing to agree with.
    missing = [i for i in range(len(frames)) if i not in agreed and i in drafts]
    done, total = len(agreed), len(agreed) + len(missing) + len(wanted)
    progress.resume("agree", done, total)
    with ThreadPoolExecutor(THREADS) as pool:
        background, colours = Background(frames, times, drafts), Colours(frames, times, drafts)
        consensus = Consensus(frames, times, drafts, TOLERANCES[0])

        def together(j: int) -> DepthFrame | None:
            if j not in drafts:
                return None
            draft = drafts[j]
            moving = colours.motion(j, background.motion(j, draft.dynamic))
            frame = consensus.frame(j, replace(draft, dynamic=moving))
            return whole(frame, draft.dynamic, floor, frames.c2w[j], frames.lenses[j])

        second = Round(frames, together, lambda j: neighbours_of_pass(neighbours(j), 1), pool)
        for i in missing:
            agreed[i] = second.frame(i)
            done += 1
            progress.advance("agree", done, total)
        drafts.clear()
        third, steady = Consensus(frames, times, agreed, TOLERANCES[1]), SteadyMovers(times, agreed)

        def finished(i: int) -> DepthFrame:
            return steady.frame(i, third.frame(i, agreed[i]))

        for i, frame in in_order(pool, finished, [i for i in wanted if i in agreed]):
            yield i, frame
            done += 1
            progress.advance("agree", done, total)


def in_order(
    pool: Executor, work: Callable[[int], DepthFrame], items: Iterable[int]
) -> Iterator[tuple[int, DepthFrame]]:
    """``(item, work(item))`` of all items in their order, some being made while one is waited for."""
    waiting: deque = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) > AHEAD:
            item, future = waiting.popleft()
            yield item, future.result()
    for item, future in waiting:
        yield item, future.result()
