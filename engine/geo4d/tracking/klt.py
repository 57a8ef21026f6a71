"""Long corner tracks: grid-balanced corners followed by pyramidal Lucas-Kanade with forward-backward checks.

A track must return from frame to frame, and it must also agree with itself some frames ago: tracks that slide along
an edge or an occlusion do so by little in every frame, and only the longer look finds them out.

Positions inside this module are in pixels of the working image with pixel *centres* at integers (OpenCV's
convention); :mod:`geo4d.tracking.track` turns them into footage pixels.
"""

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class KltSettings:
    """How corners are found and followed."""

    cells: int = 400  # grid cells over the image
    corners_per_cell: int = 4
    window: int = 21  # side of the Lucas-Kanade window, pixels
    levels: int = 4  # pyramid levels above the base
    max_fb_error_px: float = 0.7  # forward-backward error at which a track is cut
    memory: int = 8  # frames back to which a track is compared with itself
    max_slide_px: float = 0.7  # disagreement with itself at which a track is cut
    min_eigen: float = 2e-4  # least structure-tensor eigenvalue per pixel (grey levels squared / 255^2)
    spacing: int = 7  # least distance between corners, pixels


class CornerTracker:
    """Follows corners from frame to frame and replenishes where tracks have been lost.

    After :meth:`advance`, ``ids`` (K,) int64, ``xy`` (K, 2) float32 and ``fb_error`` (K,) float32 describe the
    tracks alive in the last frame; ``born`` lists the ids that began in it.
    """

    def __init__(self, width: int, height: int, settings: KltSettings | None = None):
        self.settings = settings or KltSettings()
        self.width, self.height = width, height
        side = np.sqrt(width * height / self.settings.cells)
        self.columns = max(1, round(width / side))
        self.rows = max(1, round(height / side))
        self.ids = np.zeros(0, dtype=np.int64)
        self.xy = np.zeros((0, 2), dtype=np.float32)
        self.fb_error = np.zeros(0, dtype=np.float32)
        self.born = self.ids
        self._velocity = np.zeros((0, 2), dtype=np.float32)
        self._previous = None
        self._past = deque(maxlen=self.settings.memory)  # (image, ids, xy) of the last frames, oldest first
        self._next_id = 0

    def advance(self, gray: np.ndarray) -> None:
        """Take the next frame, uint8 (height, width)."""
        if self._previous is not None and len(self.ids):
            self._follow(gray)
        self._previous = gray
        self._replenish(gray)
        self._past.append((gray, self.ids, self.xy))

    def _follow(self, gray: np.ndarray) -> None:
        s = self.settings
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.005)
        size = (s.window, s.window)
        flags = cv2.OPTFLOW_USE_INITIAL_FLOW
        guess = (self.xy + self._velocity).astype(np.float32)
        ahead, ok, _ = cv2.calcOpticalFlowPyrLK(
            self._previous, gray, self.xy, guess, winSize=size, maxLevel=s.levels, criteria=criteria, flags=flags
        )
        # The way back starts from the end point itself, not from the known origin: an honest check.
        back, ok2, _ = cv2.calcOpticalFlowPyrLK(
            gray,
            self._previous,
            ahead,
            (ahead - self._velocity).astype(np.float32),
            winSize=size,
            maxLevel=s.levels,
            criteria=criteria,
            flags=flags,
        )
        error = np.linalg.norm(back - self.xy, axis=1)
        margin = 3
        inside = (
            (ahead[:, 0] > margin)
            & (ahead[:, 1] > margin)
            & (ahead[:, 0] < self.width - 1 - margin)
            & (ahead[:, 1] < self.height - 1 - margin)
        )
        good = (ok.ravel() == 1) & (ok2.ravel() == 1) & (error < s.max_fb_error_px) & inside
        good &= self._apart(ahead, good)
        good[good] = self._steady(gray, self.ids[good], ahead[good])
        self._velocity = (ahead - self.xy)[good]
        self.ids, self.xy, self.fb_error = self.ids[good], ahead[good], error[good].astype(np.float32)

    def _steady(self, gray: np.ndarray, ids: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """False for tracks (K,) at ``xy`` (K, 2) that are not where the picture around their past place now is."""
        s = self.settings
        steady, todo = np.ones(len(ids), dtype=bool), np.ones(len(ids), dtype=bool)
        # The last entry is the previous frame, which _follow has looked at already.
        for past_gray, past_ids, past_xy in list(self._past)[:-1]:
            at = np.minimum(np.searchsorted(past_ids, ids), max(len(past_ids) - 1, 0))
            mine = np.flatnonzero(todo & (past_ids[at] == ids)) if len(past_ids) else np.zeros(0, dtype=int)
            if not len(mine):
                continue
            todo[mine] = False
            then, now = past_xy[at[mine]], np.ascontiguousarray(xy[mine])
            for a, b, start, end in ((past_gray, gray, then, now), (gray, past_gray, now, then)):
                found, ok, _ = cv2.calcOpticalFlowPyrLK(
                    a,
                    b,
                    start,
                    end.copy(),
                    winSize=(s.window, s.window),
                    maxLevel=0,
                    criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01),
                    flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
                )
                steady[mine] &= (ok.ravel() == 1) & (np.linalg.norm(found - end, axis=1) < s.max_slide_px)
        return steady

    def _apart(self, xy: np.ndarray, good: np.ndarray) -> np.ndarray:
        """False for the younger of two tracks that have run onto the same spot (one of them has slipped)."""
        keep = np.zeros(len(xy), dtype=bool)
        rows = np.flatnonzero(good)
        cell = (xy[rows] / 2.5).astype(np.int64)
        key = cell[:, 1] * (self.width + 1) + cell[:, 0]
        _, first = np.unique(key, return_index=True)  # ids ascend, so the first row is the oldest track
        keep[rows[first]] = True
        return keep

    def _replenish(self, gray: np.ndarray) -> None:
        s = self.settings
        fresh = new_corners(gray, self.xy, self.columns, self.rows, s)
        self.born = np.arange(self._next_id, self._next_id + len(fresh), dtype=np.int64)
        self._next_id += len(fresh)
        self.ids = np.concatenate([self.ids, self.born])
        self.xy = np.concatenate([self.xy, fresh])
        self.fb_error = np.concatenate([self.fb_error, np.zeros(len(fresh), dtype=np.float32)])
        # A new corner starts with its neighbourhood's motion as the guess.
        velocity = np.zeros_like(fresh)
        if len(self._velocity):
            velocity[:] = np.median(self._velocity, axis=0)
        self._velocity = np.concatenate([self._velocity.reshape(-1, 2), velocity])


def new_corners(gray: np.ndarray, taken: np.ndarray, columns: int, rows: int, settings: KltSettings) -> np.ndarray:
    """Corners (K, 2) float32 for the grid cells that hold fewer than ``corners_per_cell`` of ``taken`` (T, 2).

    Strongest first within a cell, at least ``spacing`` pixels from each other and from ``taken``.
    """
    h, w = gray.shape
    response = cv2.cornerMinEigenVal(gray, 5, ksize=3)
    reach = settings.spacing
    peak = response == cv2.dilate(response, np.ones((reach, reach), np.uint8))
    peak &= response > settings.min_eigen
    margin = settings.window // 2
    peak[:margin], peak[-margin:], peak[:, :margin], peak[:, -margin:] = False, False, False, False
    occupied = np.zeros((h, w), dtype=np.uint8)
    t = np.rint(taken).astype(int)
    occupied[np.clip(t[:, 1], 0, h - 1), np.clip(t[:, 0], 0, w - 1)] = 1
    peak &= cv2.dilate(occupied, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) == 0
    y, x = np.nonzero(peak)
    if not len(x):
        return np.zeros((0, 2), dtype=np.float32)
    cell = (y * rows // h) * columns + x * columns // w
    taken_cell = np.clip(t[:, 1], 0, h - 1) * rows // h * columns + np.clip(t[:, 0], 0, w - 1) * columns // w
    room = settings.corners_per_cell - np.bincount(taken_cell, minlength=rows * columns)
    order = np.lexsort((-response[y, x], cell))
    x, y, cell = x[order], y[order], cell[order]
    start = np.searchsorted(cell, cell)  # first candidate of the same cell
    rank = np.arange(len(cell)) - start
    chosen = rank < room[cell]
    return np.column_stack([x[chosen], y[chosen]]).astype(np.float32)
