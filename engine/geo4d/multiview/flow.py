"""Dense flow from a frame to a neighbour whose rotation has been taken out.

With both images in the axes of the reference camera, a static point moves straight towards or away from one
epipole, by ``d * a / (1 - t_z d)`` pixels for inverse depth ``d`` (see :mod:`.triangulation`): small motions,
no perspective turn, and a residual that tells movers.
"""

from dataclasses import dataclass, replace
from threading import local

import cv2
import numpy as np

from .working_frames import WorkingFrames


@dataclass
class Match:
    """Dense correspondence of reference frame i with frame j, in pixels of the maps."""

    j: int
    t: np.ndarray  # (3,) centre of camera j in the axes of camera i, world units
    flow: np.ndarray  # (h, w, 2) float32: pixel of i to pixel of j turned into i's axes
    fb_error: np.ndarray  # (h, w) float32 forward-backward distance, inf where the match leaves the image

    def trust(self) -> np.ndarray:
        """How much (h, w) the match can be believed, 0..1; 0 where it leaves the image."""
        return 1 / (1 + (self.fb_error / 1.5) ** 2)

    def in_half_precision(self) -> "Match":
        """The same, in half the memory: to a hundredth of a pixel."""
        return replace(self, flow=self.flow.astype(np.float16), fb_error=self.fb_error.astype(np.float16))

    def landing(self, frames: WorkingFrames, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Where frame i's pixels are in frame j itself: column and row (h, w) float32, counted from pixel centres."""
        w, h = frames.size
        H = turn(frames, i, self.j)
        x = np.arange(w, dtype=np.float32) + 0.5 + self.flow[..., 0].astype(np.float32)
        y = np.arange(h, dtype=np.float32)[:, None] + 0.5 + self.flow[..., 1].astype(np.float32)
        u, v, scale = ((H[k, 0] * x + H[k, 1] * y + H[k, 2]).astype(np.float32) for k in range(3))
        return u / scale - 0.5, v / scale - 0.5


class DenseFlow:
    """Dense inverse search flow (Kroeger et al. 2016), forward and back. Any thread may ask."""

    def __init__(self):
        self._of_thread = local()  # OpenCV's has memory of its own between calls

    def match(self, frames: WorkingFrames, i: int, j: int) -> Match:
        """Flow of frame i to frame j."""
        if not hasattr(self._of_thread, "search"):
            self._of_thread.search = _searches()
        there, back_again = self._of_thread.search
        gray_i = frames.gray(i)
        gray_j, inside = turned(frames, i, j)
        forward = there.calc(gray_i, gray_j, None)
        backward = back_again.calc(gray_j, gray_i, None)
        h, w = gray_i.shape
        x = np.arange(w, dtype=np.float32) + forward[..., 0]
        y = np.arange(h, dtype=np.float32)[:, None] + forward[..., 1]
        back = cv2.remap(backward, x, y, cv2.INTER_LINEAR)
        error = cv2.magnitude(forward[..., 0] + back[..., 0], forward[..., 1] + back[..., 1])
        landed = cv2.remap(inside, x, y, cv2.INTER_NEAREST, borderValue=0) > 0
        error[~landed] = np.inf
        t = (frames.c2w[j, :3, 3] - frames.c2w[i, :3, 3]) @ frames.c2w[i, :3, :3]
        return Match(j, t, forward, error)


def _searches() -> tuple[cv2.DISOpticalFlow, cv2.DISOpticalFlow]:
    """For the flow itself, and for the way back, which only says how far that is to be believed: a cheaper one."""
    there, back_again = (cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM) for _ in range(2))
    back_again.setVariationalRefinementIterations(0)
    back_again.setPatchStride(4)
    back_again.setGradientDescentIterations(16)
    return there, back_again


def turn(frames: WorkingFrames, i: int, j: int) -> np.ndarray:
    """Homography (3, 3) from pixels of frame j turned into frame i's axes and lens to pixels of frame j."""
    R = frames.c2w[j, :3, :3].T @ frames.c2w[i, :3, :3]
    return frames.lenses[j].matrix @ R @ np.linalg.inv(frames.lenses[i].matrix)


def turned(frames: WorkingFrames, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame j as it would look with the orientation and lens of frame i.

    Returns luma (h, w) uint8 and a mask (h, w) uint8, 255 where frame j has filmed the pixel.
    """
    w, h = frames.size
    to_corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # OpenCV counts from pixel centres
    H = np.linalg.inv(to_corner) @ turn(frames, i, j) @ to_corner
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpPerspective(frames.gray(j), H, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpPerspective(frames.inside.astype(np.uint8) * 255, H, (w, h), flags=cv2.WARP_INVERSE_MAP)
    return image, mask
