"""Windows whose frames are as far apart in time as those that mini learned from."""

import numpy as np

from ...windows import cut_windows
from .config import FRAMES

FPS = 12.0  # of the training clips
_FARTHEST = 3  # frames apart


def spread_windows(frame_count: int, fps: float, stride: int) -> list[np.ndarray]:
    """Positions (8,) int64 of each window, in order of their first frames; together they cover all frames.

    Frames stand 1/12 s apart where the rate allows. Each window steps once by a single frame half-way, so that frames
    between those of one window belong to the next ones, which share frames with it. What is left at both ends goes
    into windows of neighbouring frames.
    """
    gap = min(_FARTHEST, max(1, round(fps / FPS)))
    while gap > 1 and frame_count < _offsets(gap)[-1] + 1:
        gap -= 1
    if gap == 1:
        return cut_windows(frame_count, FRAMES, stride)
    offsets = _offsets(gap)
    last = frame_count - 1 - int(offsets[-1])
    windows = [start + offsets for start in sorted({*range(0, last + 1, stride), last})]
    missing = np.setdiff1d(np.arange(frame_count), np.concatenate(windows))
    while len(missing):
        start = min(int(missing[0]), frame_count - FRAMES)
        windows.append(np.arange(start, start + FRAMES, dtype=np.int64))
        missing = np.setdiff1d(missing, windows[-1])
    return sorted(windows, key=lambda window: (window[0], window[-1]))


def _offsets(gap: int) -> np.ndarray:
    steps = np.full(FRAMES - 1, gap, dtype=np.int64)
    steps[FRAMES // 2 - 1] = 1
    return np.concatenate([[0], np.cumsum(steps)])
