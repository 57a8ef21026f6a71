"""Movers completed by their colours: what looks like a mover and not like its surroundings is part of it.

Flow and background find a figure in pieces: plain clothes show no flow, and what never uncovers its background cannot
be told from it. Within a second a figure keeps its colours, though, and so does what is around it. Both are counted
where a frame and its key frames are sure, and for each pixel near the figure the ratio of the two counts speaks for
one or the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from . import dynamic
from .depth_frame import DepthFrame
from .key_frames import KeyFrames
from .working_frames import WorkingFrames

SPACING_S = 0.2  # from one key frame to the next
SPAN_S = 1.0  # key frames that are asked, before and after
SURELY, HARDLY = 0.8, 0.2  # probability of motion from which, and below which, a pixel's colour is counted
REACH = 0.3  # how far from a mover its colours are looked for, in roots of its area
FEWEST = 30  # sure pixels of a mover that tell its colours
BITS = 5  # of each channel
DRIFT = np.array([1, 4, 6, 4, 1], np.float32) / 16  # of a colour, in steps of a channel
RARE = 1e-5  # share of a colour below which it might as well not be there
CLEAREST = 3.0  # log of the ratio of shares that speaks as loud as any larger one
PASSES = 2  # of looking around
WEIGHT = 1.5  # of that, in log odds of motion; chosen on procedural clips


@dataclass
class _Counted:
    """What a frame has to count (h, w): its colours, and where it is sure of motion and of rest."""

    colours: np.ndarray  # int32
    moves: np.ndarray  # bool
    rests: np.ndarray  # bool

    @classmethod
    def of(cls, rgb: np.ndarray, moving: np.ndarray) -> "_Counted":
        smooth = (cv2.GaussianBlur(rgb, (0, 0), 0.8) >> (8 - BITS)).astype(np.int32)
        colours = (smooth[..., 0] << 2 * BITS) + (smooth[..., 1] << BITS) + smooth[..., 2]
        return cls(colours, moving > SURELY, moving < HARDLY)


class Colours:
    """Probability of motion of a shot's frames in the light of what movers look like. Any thread may ask.

    ``maps``: frame index to map, of as many key frames as there are.
    """

    def __init__(self, frames: WorkingFrames, times: np.ndarray, maps: Mapping[int, DepthFrame]):
        self.frames, self.maps = frames, maps
        self._keys = KeyFrames(times, SPACING_S, SPAN_S, self._counted)

    def motion(self, i: int, own: np.ndarray) -> np.ndarray:
        """Probability of motion (h, w) float32 of frame i, of which ``own`` was believed until now."""
        if not (own > dynamic.MOVES).any():
            return own
        here = _Counted.of(self.frames.rgb[i], own)
        keys = self._keys.around(i)
        moving = own
        # A figure that has become whole is looked around once more: its legs may have been out of reach of its trunk.
        for _ in range(PASSES):
            movers = dynamic.groups(moving > dynamic.MOVES)
            moving = dynamic.in_the_light_of(WEIGHT * _likeness(movers, here, keys), own) if movers else own
        return moving

    def _counted(self, j: int) -> _Counted | None:
        return _Counted.of(self.frames.rgb[j], self.maps[j].dynamic) if j in self.maps else None


def _likeness(movers: list[np.ndarray], here: _Counted, keys: list[_Counted]) -> np.ndarray:
    """How much more a frame's pixels (h, w) are like the most alike of the movers around them than like what is there.

    Log of a ratio of shares, float32; 0 far from all movers.
    """
    said = np.full(here.colours.shape, -np.inf, np.float32)
    for mover in movers:
        box, near = _surroundings(mover)
        figure = _counts(here, box, here.moves[box] & mover[box])
        around = _counts(here, box, here.rests[box] & near)
        for key in keys:
            figure += _counts(key, box, key.moves[box] & near)
            around += _counts(key, box, key.rests[box] & near)
        if figure.sum() < FEWEST or around.sum() < FEWEST:
            continue
        ratio = np.clip(np.log((_shares(figure) + RARE) / (_shares(around) + RARE)), -CLEAREST, CLEAREST)
        said[box] = np.where(near, np.maximum(said[box], ratio[here.colours[box]]), said[box])
    # Single pixels have the colours of others by chance.
    return np.where(np.isfinite(said), cv2.medianBlur(np.maximum(said, -CLEAREST), 3), 0)


def _surroundings(mover: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray]:
    """The box that holds all near a mover (h, w) bool, and which of its pixels are near."""
    reach = REACH * np.sqrt(float(mover.sum()))
    rows, columns = np.flatnonzero(mover.any(axis=1)), np.flatnonzero(mover.any(axis=0))
    margin = int(np.ceil(reach))
    box = (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )
    away = cv2.distanceTransform((~mover[box]).astype(np.uint8), cv2.DIST_L2, 3)
    return box, away <= reach


def _counts(frame: _Counted, box: tuple[slice, slice], where: np.ndarray) -> np.ndarray:
    return np.bincount(frame.colours[box][where], minlength=1 << 3 * BITS)


def _shares(counts: np.ndarray) -> np.ndarray:
    """Share of each colour in ``counts``, much of it given to colours that differ by a step or two in a channel."""
    n = 1 << BITS
    shares = (counts / counts.sum()).astype(np.float32).reshape(n, n, n)
    edges, as_it_is = cv2.BORDER_REPLICATE, np.ones(1, np.float32)
    shares = cv2.sepFilter2D(shares, -1, DRIFT, DRIFT, borderType=edges)
    shares = cv2.sepFilter2D(shares.reshape(n * n, n), -1, DRIFT, as_it_is, borderType=edges)
    return shares.reshape(-1)
