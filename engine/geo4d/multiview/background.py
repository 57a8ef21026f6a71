"""What the seconds around show where a frame's pixel is: whether its colour is that of the scene behind what moves.

Flow tells what moves from frame to frame, not what rests for a moment, goes the camera's own way, or moves along its
epipolar lines. But a mover hides something that was or will be in sight. Static points of key frames, with their
colours, are put into a frame through the solved cameras: where most of them have another colour than the frame,
something is before them; where they have the same, nothing moves, whatever flow says.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.camera import Intrinsics
from . import dynamic
from .depth_frame import DepthFrame
from .key_frames import KeyFrames
from .working_frames import WorkingFrames

SPACING_S = 0.4  # from one key frame to the next
SPAN_S = 2.0  # key frames that are asked, before and after
AT_REST = 0.2  # probability of motion below which a key frame's pixel is taken for the scene
FEWEST = 2.0  # key frames that must show a place for it to be judged
UNLIKE = 14.0  # sum of differences of three channels at which a colour is as likely another as the same
SOFT = 3.0  # of such differences: how gradual that is
LIGHT_PX = 31  # of the halved picture: what differs alike over such a window is light or exposure


@dataclass
class _Shown:
    """Every second pixel of a key frame that is at rest."""

    points: np.ndarray  # (n, 3) float32 world, the farthest first
    colours: np.ndarray  # (n, 3) float32

    @classmethod
    def of(cls, frame: DepthFrame, rgb: np.ndarray, c2w: np.ndarray, lens: Intrinsics) -> "_Shown":
        depth, moving = frame.depth[1::2, 1::2], frame.dynamic[1::2, 1::2]
        rows, columns = np.nonzero((depth > 0) & (moving < AT_REST))
        z = depth[rows, columns]
        order = np.argsort(-z)
        rows, columns, z = rows[order], columns[order], z[order]
        x, y = (2 * columns + 1.5 - lens.cx) / lens.fx * z, (2 * rows + 1.5 - lens.cy) / lens.fy * z
        points = np.stack([x, y, z], axis=1) @ c2w[:3, :3].T + c2w[:3, 3]
        return cls(points.astype(np.float32), _smooth(rgb)[rows, columns])


class Background:
    """Probability of motion of a shot's frames in the light of what key frames show. Any thread may ask.

    ``maps``: frame index to map, of as many key frames as there are.
    """

    def __init__(self, frames: WorkingFrames, times: np.ndarray, maps: Mapping[int, DepthFrame]):
        self.frames, self.maps = frames, maps
        self._keys = KeyFrames(times, SPACING_S, SPAN_S, self._shown)

    def motion(self, i: int, own: np.ndarray) -> np.ndarray:
        """Probability of motion (h, w) float32 of frame i, of which ``own`` was believed until now."""
        h, w = own.shape
        picture = _smooth(self.frames.rgb[i])
        around = np.ones((3, 3), np.uint8)
        low, high = cv2.erode(picture, around), cv2.dilate(picture, around)
        rest = (own[1::2, 1::2] < 0.5).astype(np.float32)
        other, total = np.zeros(rest.shape, np.float32), np.zeros(rest.shape, np.float32)
        for key in self._keys.around(i):
            colours, seen = self._into(i, key, rest.shape)
            colours += _light(picture - colours, seen * rest)
            unlike = (np.maximum(low - colours, 0) + np.maximum(colours - high, 0)).sum(axis=2)
            other += seen / (1 + np.exp(np.clip((UNLIKE - unlike) / SOFT, -30, 30)))
            total += seen
        votes = np.where(total >= FEWEST, np.log((other + 0.5) / (total - other + 0.5)), 0).astype(np.float32)
        votes = cv2.GaussianBlur(votes, (0, 0), 1.5)
        votes = cv2.resize(votes, (w, h), interpolation=cv2.INTER_LINEAR)
        return dynamic.in_the_light_of(votes, own)

    def _shown(self, j: int) -> _Shown | None:
        if j not in self.maps:
            return None
        return _Shown.of(self.maps[j], self.frames.rgb[j], self.frames.c2w[j], self.frames.lenses[j])

    def _into(self, i: int, key: _Shown, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """A key frame's colours (h, w, 3) where frame i's every second pixel is, and 1 where there are any (h, w)."""
        h, w = shape
        c2w, lens = self.frames.c2w[i], self.frames.lenses[i]
        local = (key.points - c2w[:3, 3].astype(np.float32)) @ c2w[:3, :3].astype(np.float32)
        z = local[:, 2]
        ahead = z > 1e-6
        over = 1 / np.where(ahead, z, 1)
        x = (local[:, 0] * over * np.float32(lens.fx / 2) + np.float32((lens.cx - 0.5) / 2)).astype(np.intp)
        y = (local[:, 1] * over * np.float32(lens.fy / 2) + np.float32((lens.cy - 0.5) / 2)).astype(np.intp)
        ahead &= (x >= 0) & (y >= 0) & (x < w) & (y < h)
        at = (y * w + x)[ahead]
        colours, seen = np.zeros((h * w, 3), np.float32), np.zeros(h * w, np.float32)
        # The nearest come last and stay; their order in the key frame is near enough to that in this one.
        colours[at], seen[at] = key.colours[ahead], 1
        colours, seen = colours.reshape(h, w, 3), seen.reshape(h, w)
        # Single pixels between points that were hit are theirs too.
        beside = cv2.boxFilter(seen, -1, (3, 3), normalize=False)
        gaps = (seen == 0) & (beside >= 3)
        mean = cv2.boxFilter(colours, -1, (3, 3), normalize=False) / np.maximum(beside, 1)[..., None]
        colours[gaps], seen[gaps] = mean[gaps], 1
        return colours, seen


def _smooth(rgb: np.ndarray) -> np.ndarray:
    """Every second pixel (h / 2, w / 2, 3) float32 of a slightly blurred picture."""
    return cv2.GaussianBlur(rgb, (0, 0), 0.8)[1::2, 1::2].astype(np.float32)


def _light(difference: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """What of a difference of colours (h, w, 3) is alike all around, (h, w, 3)."""
    difference = np.clip(difference, -60, 60) * counts[..., None]
    total = difference.sum(axis=(0, 1)) / max(float(counts.sum()), 1.0)
    window = (LIGHT_PX, LIGHT_PX)
    near, weight = cv2.blur(difference, window), cv2.blur(counts, window)[..., None]
    return (near + 0.05 * total) / (weight + 0.05)
