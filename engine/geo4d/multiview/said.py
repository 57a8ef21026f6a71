"""What one frame's map says of the depth of another frame's pixels, through the solved cameras."""

from dataclasses import dataclass

import cv2
import numpy as np

from .depth_frame import DepthFrame
from .working_frames import WorkingFrames, every_second, seen_from

EDGE = 0.15  # relative difference of inverse depth of pixels close by that is an edge


@dataclass
class Said:
    """A frame's map, ready to be asked."""

    index: int
    map: np.ndarray  # (h, w, 2) float32: inverse depth, 0 where unknown, and how much it counts, 0..1

    @classmethod
    def of(cls, index: int, frame: DepthFrame, edge_px: int) -> "Said":
        """Of frame ``index``. What may move counts less; at an edge in a window of ``edge_px`` nothing counts."""
        inverse = np.where(frame.depth > 0, 1 / np.maximum(frame.depth, 1e-12), 0).astype(np.float32)
        # A blend of both sides of an edge is neither.
        around = np.ones((edge_px, edge_px), np.uint8)
        high, low = cv2.dilate(inverse, around), cv2.erode(inverse, around)
        counts = np.where((inverse > 0) & (high - low <= EDGE * high), np.clip(1 - frame.dynamic, 0, 1), 0)
        return cls(index, np.dstack([inverse, counts.astype(np.float32)]))

    def about(
        self, frames: WorkingFrames, i: int, depth: np.ndarray, tolerance: float, step: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of frame i's pixels at ``depth`` (h, w): by how much log depth is larger in this map, and how much to say.

        ``tolerance`` is of log depth: so far off a map has a quarter of its say, what hides or shows something else
        none. With a ``step`` of 2 both are of every second pixel (h / 2, w / 2). Say is 0..1, and 0 where nothing is.
        """
        h, w = depth.shape
        points, offset = seen_from(frames, i, self.index, step)
        if step == 2:
            depth = every_second(depth)
        points *= depth
        points += offset[:, None, None]
        u, v, z = points
        seen = (z > 1e-6 * depth) & (depth > 0)
        over = 1 / np.where(seen, z, 1)
        u *= over
        v *= over
        seen &= (u > -0.5) & (v > -0.5) & (u < w - 0.5) & (v < h - 0.5)
        inverse, counts = cv2.split(cv2.remap(self.map, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        seen &= inverse > 0
        off = -cv2.log(np.where(seen, inverse * z, 1))
        far = off * np.float32(1 / tolerance)
        far *= far
        far += 1
        far *= far
        counts *= seen
        counts /= far
        return off, counts
