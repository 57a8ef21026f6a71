"""Pictures for the network: the released loader's ways to the last bit, one without cropping, and the ways back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PATCH = 14
_BITS = 22  # of the fixed-point weights of the released loader's image library
_WHITE = 1.0


@dataclass(frozen=True)
class Placement:
    """Where a picture of ``width`` x ``height`` lies in what the network saw, both in pixels.

    Seen coordinates = scale * original + offset; what is beyond the seen picture was cut off.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float
    offset_x: float = 0.0
    offset_y: float = 0.0

    def intrinsics(self, seen: np.ndarray) -> np.ndarray:
        """Intrinsics (..., 3, 3) in pixels of the original picture, from those of the seen one."""
        out = np.array(seen, dtype=np.float64)
        out[..., 0, :2] /= self.scale_x
        out[..., 1, :2] /= self.scale_y
        out[..., 0, 2] = (seen[..., 0, 2] - self.offset_x) / self.scale_x
        out[..., 1, 2] = (seen[..., 1, 2] - self.offset_y) / self.scale_y
        return out


def working_size(
    width: int, height: int, longer: int = 518, patch: int = PATCH, exact: bool = False
) -> tuple[int, int]:
    """(w, h), multiples of ``patch``, the longer at most ``longer``, whose ratio is near the footage's; uncropped.

    The remaining stretch is told by separate focal lengths in x and y. Up to an eighth fewer pixels a side are given
    for a ratio that fits better. ``exact``: the released loader's size, of footage that is not higher than wide.
    """
    if exact and height <= width:
        return longer, _multiple(height * (longer / width), patch)
    ratio = width / height
    most = max(1, longer // patch)

    def cost(cells: tuple[int, int]) -> float:
        off = cells[0] / cells[1] / ratio
        return max(off, 1 / off) - 1 + 0.25 * (1 - max(cells) / most)

    sides = range(max(1, most - most // 8), most + 1)
    pairs = [(a, max(1, round(a * min(ratio, 1 / ratio)))) for a in sides]
    w, h = min(pairs if ratio >= 1 else [(b, a) for a, b in pairs], key=cost)
    return w * patch, h * patch


def load(pictures: Sequence[np.ndarray], mode: str = "crop", side: int = 518) -> tuple[np.ndarray, list[Placement]]:
    """Pictures as the released loader makes them: (N, 3, h, w) float32 in 0..1, and where each lies.

    ``pictures`` are uint8 (h, w, 3 or 4); transparency goes onto white. ``crop`` gives every picture the width
    ``side`` and cuts rows beyond ``side``; ``pad`` gives the longer side ``side`` and surrounds with white.
    Different sizes are surrounded with white to the largest.
    """
    loaded, places = [], []
    for picture in pictures:
        height, width = picture.shape[:2]
        if mode == "pad" and height > width:
            w, h = _multiple(width * (side / height)), side
        else:
            w, h = side, _multiple(height * (side / width))
        image = resample(opaque(picture), w, h).astype(np.float32) / 255
        placed = Placement(width, height, w / width, h / height)
        if mode == "crop" and h > side:
            top = (h - side) // 2
            image, placed = image[top : top + side], _moved(placed, 0, -top)
        elif mode == "pad":
            image, placed = _surround(image, placed, side, side)
        loaded.append(image)
        places.append(placed)
    tallest, widest = max(len(image) for image in loaded), max(image.shape[1] for image in loaded)
    pairs = [_surround(image, place, widest, tallest) for image, place in zip(loaded, places, strict=True)]
    return np.stack([image.transpose(2, 0, 1) for image, _ in pairs]), [place for _, place in pairs]


def load_square(pictures: Sequence[np.ndarray], side: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """The released second loader: black around to a square.

    Returns (N, 3, side, side) and (N, 6): x1 y1 x2 y2 of the picture in it, its width and height.
    """
    loaded, places = [], []
    for picture in pictures:
        picture = opaque(picture)
        height, width = picture.shape[:2]
        longer = max(width, height)
        left, top = (longer - width) // 2, (longer - height) // 2
        square = np.zeros((longer, longer, 3), np.uint8)
        square[top : top + height, left : left + width] = picture
        loaded.append(resample(square, side, side).astype(np.float32).transpose(2, 0, 1) / 255)
        scale = side / longer
        corners = (left * scale, top * scale, (left + width) * scale, (top + height) * scale)
        places.append((*corners, width, height))
    return np.stack(loaded), np.array(places, np.float32)


def opaque(picture: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3); transparent pixels over white, rounded as the released loader's library does."""
    if picture.shape[2] == 3:
        return picture
    colour, alpha = picture[..., :3].astype(np.int64), picture[..., 3:].astype(np.int64)
    mixed = (colour * alpha + 255 * (255 - alpha)) * 128 + (0x80 << 7)
    return ((((mixed >> 8) + mixed) >> 8) >> 7).astype(np.uint8)


def resample(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 (h, w, C) at another size: cubic of a = -0.5, widened where it shrinks, rounded after each direction."""
    if picture.shape[1] != width:
        picture = _along(picture.swapaxes(0, 1), width).swapaxes(0, 1)
    return picture if picture.shape[0] == height else _along(picture, height)


def _along(picture: np.ndarray, count: int) -> np.ndarray:
    """The first axis resampled to ``count``."""
    first, weights = _weights(len(picture), count)
    rows = np.minimum(first[:, None] + np.arange(weights.shape[1]), len(picture) - 1)
    total = np.full((count, *picture.shape[1:]), 1 << (_BITS - 1), np.int64)
    for tap in range(weights.shape[1]):  # a handful
        total += weights[:, tap, None, None] * picture[rows[:, tap]]
    return np.clip(total >> _BITS, 0, 255).astype(np.uint8)


def _weights(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """First source index (new,) and fixed-point weights (new, taps) of each result."""
    scale = old / new
    stretch = max(scale, 1.0)
    reach = 2.0 * stretch
    centre = (np.arange(new) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    stop = np.minimum((centre + reach + 0.5).astype(np.int64), old)
    index = first[:, None] + np.arange((stop - first).max())
    weights = np.where(index < stop[:, None], _cubic((index - centre[:, None] + 0.5) / stretch), 0.0)
    weights = weights / weights.sum(axis=1, keepdims=True) * (1 << _BITS)
    return first, np.trunc(weights + np.copysign(0.5, weights)).astype(np.int64)


def _cubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _multiple(side: float, patch: int = PATCH) -> int:
    return max(patch, round(side / patch) * patch)


def _surround(image: np.ndarray, place: Placement, width: int, height: int) -> tuple[np.ndarray, Placement]:
    """White around ``image`` (h, w, 3)."""
    h, w = image.shape[:2]
    if (h, w) == (height, width):
        return image, place
    top, left = (height - h) // 2, (width - w) // 2
    out = np.full((height, width, 3), _WHITE, np.float32)
    out[top : top + h, left : left + w] = image
    return out, _moved(place, left, top)


def _moved(place: Placement, x: float, y: float) -> Placement:
    return Placement(place.width, place.height, place.scale_x, place.scale_y, place.offset_x + x, place.offset_y + y)
