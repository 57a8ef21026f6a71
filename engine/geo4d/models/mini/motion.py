"""Where the things in each picture lie in its neighbours: dense matching, done before the network sees anything.

Matching is a solved problem that costs a network most of its training; given its result, parallax rather than the look
of things carries the depth from the first step on.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from .config import NEIGHBOURS

CHANNELS = 3 * (len(NEIGHBOURS) + 1)  # across, down and how badly they match; the neighbours and the first frame
CELL = 4  # pixels of a picture to a side of a cell of the result
_SPREAD = 0.05  # of shifts, in halves of the longer side
_MISS_SPREAD = 0.1


def motion_fields(rgb: Tensor) -> Tensor:
    """Shifts of (B, T, 3, H, W) pictures in 0..1 as (B, T, :data:`CHANNELS`, H / 4, W / 4).

    By dense inverse search (Kroeger et al. 2016) on grey pictures. A neighbour beyond the window's ends is the frame
    itself: no shift, no miss.
    """
    grey = (rgb.detach().float().mean(2) * 255).round().clamp(0, 255).byte().cpu().numpy()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    fields = np.stack([_window(search, frames) for frames in grey])
    return torch.from_numpy(fields).to(rgb.device, rgb.dtype)


def _window(search, frames: np.ndarray) -> np.ndarray:
    """(T, C, h, w) of grey frames (T, H, W)."""
    count, height, width = frames.shape
    out = np.zeros((count, CHANNELS // 3, 3, height // CELL, width // CELL), np.float32)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    for t in range(count):
        for k, other in enumerate([*(t + step for step in NEIGHBOURS), 0]):
            if other == t or not 0 <= other < count:
                continue
            shift = search.calc(frames[t], frames[other], None)
            there = cv2.remap(frames[other], columns + shift[..., 0], rows + shift[..., 1], cv2.INTER_LINEAR)
            miss = cv2.absdiff(there, frames[t]).astype(np.float32) / 255
            shift *= 2 / max(height, width)
            maps = (shift[..., 0] / _SPREAD, shift[..., 1] / _SPREAD, miss / _MISS_SPREAD)
            out[t, k] = [cv2.resize(m, out.shape[:-3:-1], interpolation=cv2.INTER_AREA) for m in maps]
    return out.reshape(count, CHANNELS, *out.shape[3:])
