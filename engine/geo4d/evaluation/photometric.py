"""Whether camera, depth and footage agree: a frame rebuilt from another one by depth and cameras alone."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import GeoError
from ..footage import open_footage
from ..geometry.camera import Intrinsics, pixel_grid
from ..multiview.working_frames import undistortion_map
from ..scene.depth_file import read_depth
from ..scene.reader import Scene

SPAN = 5  # frames between the two
HIDDEN = 0.05  # relative difference of depth from which a place is hidden in the other frame
STATIC, SURE = 0.5, 0.1  # most dynamic probability, least confidence of a pixel that counts


@dataclass
class Agreement:
    """Median absolute differences of luma, 0..255, on static pixels that both frames see."""

    warped: float
    unwarped: float  # of the same pixels without any motion, for comparison
    pixels: int
    pairs: int


def photometric_agreement(scene: Scene, every: int = 4) -> Agreement | None:
    """Frame i + 5 rebuilt from frame i, for every ``every``-th i; None without depth, pairs or the footage.

    Each pixel of the later frame is lifted by its depth, seen from the earlier camera and compared with what that
    camera filmed there.
    """
    if not scene.has_depth or len(scene) <= SPAN:
        return None
    size = (scene.depth_width, scene.depth_height)
    step = scene.footage.get("step", 1)
    first, last = int(scene.index[0]), int(scene.index[-1])
    try:
        shot = open_footage(scene.footage["path"], first=first, last=last, step=step)
    except GeoError:  # moved or gone since
        return None
    if len(shot) != len(scene):
        return None
    warped, unwarped, pairs = [], [], 0
    for i in range(0, len(scene) - SPAN, every):
        j = i + SPAN
        before, after = (_luma(shot, scene, k, size) for k in (i, j))
        x, y, seen = _lookup(scene, i, j)
        if seen.any():
            rebuilt = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            warped.append(np.abs(rebuilt - after)[seen])
            unwarped.append(np.abs(before - after)[seen])
            pairs += 1
    if not pairs:
        return None
    warped, unwarped = np.concatenate(warped), np.concatenate(unwarped)
    return Agreement(float(np.median(warped)), float(np.median(unwarped)), len(warped), pairs)


def _lens(scene: Scene, i: int) -> Intrinsics:
    return Intrinsics(scene.width, scene.height, scene.fx[i], scene.fy[i], scene.cx[i], scene.cy[i], scene.k1)


def _luma(shot, scene: Scene, i: int, size: tuple[int, int]) -> np.ndarray:
    """Straightened frame at the size of the maps, float32."""
    picture = shot.read_at([i], size=size, gray=True)[0].astype(np.float32)
    if scene.k1:
        x, y, _ = undistortion_map(_lens(scene, i).scaled(*size))
        picture = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return picture


def _lookup(scene: Scene, i: int, j: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where frame i shows each pixel of frame j (pixel indices, float32 each), and which of them count."""
    near, far = read_depth(scene.depth_path(i)), read_depth(scene.depth_path(j))
    h, w = far.depth.shape
    lens_i, lens_j = (_lens(scene, k).pinhole().scaled(w, h) for k in (i, j))
    xy = (pixel_grid(w, h) - lens_j.centre) / lens_j.focal
    local = np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1) * far.depth[..., None]
    world = local @ scene.c2w[j, :3, :3].T + scene.c2w[j, :3, 3]
    there = (world - scene.c2w[i, :3, 3]) @ scene.c2w[i, :3, :3]
    z = there[..., 2]
    ahead = (far.depth > 0) & (z > 0)
    index = there[..., :2] / np.where(ahead, z, 1.0)[..., None] * lens_i.focal + lens_i.centre - 0.5
    x, y = (np.where(ahead, index[..., k], -1).astype(np.float32) for k in (0, 1))

    def at(values: np.ndarray) -> np.ndarray:
        return cv2.remap(values.astype(np.float32), x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)

    inside = (x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1)
    seen = ahead & inside & (np.abs(at(near.depth) - z) < HIDDEN * z)
    seen &= (far.dynamic < STATIC) & (at(near.dynamic) < STATIC) & (far.confidence > SURE)
    return x, y, seen
