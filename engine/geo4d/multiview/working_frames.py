"""The small undistorted frames that dense depth works on."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ..footage.shot import Shot
from ..geometry.camera import Intrinsics, distort, pixel_grid
from ..matchmove.solve import Solve


def depth_size(width: int, height: int, long_side: int = 448) -> tuple[int, int]:
    """Size (w, h) of the depth maps of footage of ``width`` x ``height``.

    The longer side becomes ``long_side`` (never more than the footage has), the other follows the aspect
    ratio. Both are even, and at least 32, the smallest that dense flow takes.
    """
    if width <= 0 or height <= 0:
        raise ValueError(f"footage size must be positive, got {width} x {height}")
    scale = min(1.0, long_side / max(width, height))
    return tuple(max(32, 2 * round(side * scale / 2)) for side in (width, height))


def undistortion_map(lens: Intrinsics) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each pixel of the undistorted image lies in the filmed one.

    Returns
    -------
    map_x, map_y : (h, w) float32 pixel *indices* (centres at whole numbers), as ``cv2.remap`` takes them.
    inside : (h, w) bool, False where the undistorted image looks past the filmed one's border.
    """
    centre, focal = np.array([lens.cx, lens.cy]), np.array([lens.fx, lens.fy])
    normalised = (pixel_grid(lens.width, lens.height) - centre) / focal
    index = distort(normalised, lens.k1) * focal + centre - 0.5
    x, y = index[..., 0], index[..., 1]
    inside = (x > -0.5) & (y > -0.5) & (x < lens.width - 0.5) & (y < lens.height - 0.5)
    # Beyond its turning point a barrel polynomial folds back on itself; what lies there was never filmed.
    r2 = np.sum(normalised**2, axis=-1)
    inside &= 1 + 3 * lens.k1 * r2 > 0
    return x.astype(np.float32), y.astype(np.float32), inside


@dataclass
class WorkingFrames:
    """All frames of a shot at the depth maps' size, undistorted; 150 MB for 500 frames of 448 x 252."""

    rgb: np.ndarray  # (F, h, w, 3) uint8, in RAM or memory-mapped
    lenses: list[Intrinsics]  # F pinholes at (w, h)
    c2w: np.ndarray  # (F, 4, 4) float64
    inside: np.ndarray  # (h, w) bool: False where the undistorted image shows nothing filmed

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def size(self) -> tuple[int, int]:
        """(w, h)."""
        return self.rgb.shape[2], self.rgb.shape[1]

    def gray(self, i: int) -> np.ndarray:
        """Luma of frame i, uint8 (h, w)."""
        return cv2.cvtColor(self.rgb[i], cv2.COLOR_RGB2GRAY)


def every_second(values: np.ndarray) -> np.ndarray:
    """Every second pixel of a map (h, w), beginning with pixel 1, as :func:`seen_from` with a ``step`` of 2."""
    return np.ascontiguousarray(values[1::2, 1::2])


def seen_from(frames: WorkingFrames, i: int, j: int, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Where pixels of frame i fall in frame j: at ``turned * depth + offset``, over its third.

    Returns
    -------
    turned : (3, h, w) float32, of every pixel or, with a ``step`` of 2, of every second one, beginning with pixel 1.
    offset : (3,) float32. Both give pixel *indices* (centres at whole numbers), as ``cv2.remap`` takes them.
    """
    relative = np.linalg.inv(frames.c2w[j]) @ frames.c2w[i]
    lens = frames.lenses[i]
    K = frames.lenses[j].matrix - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    turn, offset = K @ relative[:3, :3], (K @ relative[:3, 3]).astype(np.float32)
    w, h = frames.size
    x = (np.arange(step // 2, w, step) + 0.5 - lens.cx) / lens.fx
    y = ((np.arange(step // 2, h, step) + 0.5 - lens.cy) / lens.fy)[:, None]
    across, down = (turn[:, :1] * x + turn[:, 2:]).astype(np.float32), (turn[:, 1:2, None] * y).astype(np.float32)
    return across[:, None] + down, offset


def read_working_frames(shot: Shot, solve: Solve, size: tuple[int, int]) -> WorkingFrames:
    """Read a whole shot once, small and undistorted: 500 frames of 448 x 252 are 170 MB."""
    w, h = size
    count = len(shot)
    if len(solve) != count:
        raise ValueError(f"the solve has {len(solve)} cameras but the shot has {count} frames")
    rgb = np.empty((count, h, w, 3), dtype=np.uint8)
    lenses = [solve.lens(i).scaled(w, h) for i in range(count)]
    inside = np.ones((h, w), dtype=bool)
    for i, frame in enumerate(_exactly(shot.read(size=size), count)):
        if lenses[i].k1:
            map_x, map_y, seen = undistortion_map(lenses[i])
            frame = cv2.remap(frame, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            inside &= seen
        rgb[i] = frame
    return WorkingFrames(rgb, [lens.pinhole() for lens in lenses], np.asarray(solve.c2w, dtype=np.float64), inside)


def _exactly(frames: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The frames, insisting that there are ``count`` of them."""
    done = 0
    for frame in frames:
        yield frame
        done += 1
    if done != count:
        raise ValueError(f"the shot announced {count} frames and gave {done}")
