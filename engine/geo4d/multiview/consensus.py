"""What the frames of several seconds say of each static pixel, together.

Every frame's map is made from what is measured around it, and where little is measured the filled and corrected depth
differs from one part of a shot to the next: a plain cupboard is too near where the camera passes by and right where
its edges are in sight. Through the solved cameras such maps can be held against each other over seconds. Their mean is
robust: whoever is far from what most say has little say, and so have pixels beside an edge and those that may move.
"""

from collections.abc import Mapping

import cv2
import numpy as np

from .depth_frame import DepthFrame
from .key_frames import KeyFrames
from .said import Said
from .working_frames import WorkingFrames, every_second

SPACING_S = 0.2  # from one key frame to the next
SPAN_S = 2.0  # key frames that are asked, before and after
ALIKE = 0.1  # of log depth: a frame so far from the mean has half of its say
PASSES = 2  # of weighing anew
EDGE_PX = 5  # a window in which an edge leaves a key frame nothing to say


class Consensus:
    """Maps of a shot's frames moved towards what key frames of the seconds around say. Any thread may ask.

    Parameters
    ----------
    frames, times : the shot; times (F,) in seconds.
    maps : frame index to map, of as many key frames as there are.
    tolerance : of log depth; a key frame so far off has a quarter of its say, what hides or shows something else none.
    """

    def __init__(self, frames: WorkingFrames, times: np.ndarray, maps: Mapping[int, DepthFrame], tolerance: float):
        self.frames, self.maps, self.tolerance = frames, maps, tolerance
        self._keys = KeyFrames(times, SPACING_S, SPAN_S, self._key)

    def frame(self, i: int, own: DepthFrame) -> DepthFrame:
        """The map ``own`` of frame i in agreement with the key frames around."""
        said = [key.about(self.frames, i, own.depth, self.tolerance, 2) for key in self._keys.around(i)]
        if not said:
            return own
        off, say = (np.stack(layers) for layers in zip(*said, strict=True))
        say *= np.clip(1 - every_second(own.dynamic), 0, 1)
        pull = robust_mean(off, say)
        h, w = own.depth.shape
        # From every second pixel, the first of which is pixel 1, to all.
        x, y = np.meshgrid((np.arange(w, dtype=np.float32) - 1) / 2, (np.arange(h, dtype=np.float32) - 1) / 2)
        pull = cv2.remap(pull, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return DepthFrame((own.depth * np.exp(pull)).astype(np.float32), own.confidence, own.dynamic)

    def _key(self, j: int) -> Said | None:
        return Said.of(j, self.maps[j], EDGE_PX) if j in self.maps else None


def robust_mean(off: np.ndarray, say: np.ndarray) -> np.ndarray:
    """Mean (h, w) of offsets (n, h, w) that count ``say`` and of a pixel's own, 0, that counts 1.

    Iteratively reweighted as by Cauchy's distribution: what is far from the mean loses its say.
    """
    mean = (off * say).sum(axis=0) / (1 + say.sum(axis=0))
    for _ in range(PASSES):
        counts = say / (1 + ((off - mean) / ALIKE) ** 2)
        mean = (off * counts).sum(axis=0) / (1 / (1 + (mean / ALIKE) ** 2) + counts.sum(axis=0))
    return mean.astype(np.float32)
