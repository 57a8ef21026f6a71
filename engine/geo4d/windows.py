"""Cutting a shot into overlapping windows of a fixed number of frames for a model."""

import numpy as np


def cut_windows(frame_count: int, length: int = 16, stride: int = 4, repeat_last: bool = False) -> list[np.ndarray]:
    """Positions (length,) int64 of each window, in order; together they cover all frames.

    Windows begin every ``stride`` frames; the last one ends with the shot. A shot shorter than ``length`` makes one
    window that runs to its end and back, so that its motion stays continuous. ``repeat_last`` appends the last
    window also where it is already there, as the reference does: one window more, for parity alone.
    """
    if frame_count < 1 or not 1 <= stride <= length:
        raise ValueError(f"no windows of {length} every {stride} in {frame_count} frames")
    if frame_count <= length:
        there_and_back = np.concatenate([np.arange(frame_count), np.arange(frame_count - 2, 0, -1)])
        windows = [np.resize(there_and_back, length).astype(np.int64)]
        return windows * 2 if repeat_last and frame_count == length else windows
    last = frame_count - length
    starts = list(range(0, last + 1, stride))
    if starts[-1] != last or repeat_last:
        starts.append(last)
    return [np.arange(start, start + length, dtype=np.int64) for start in starts]
