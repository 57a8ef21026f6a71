"""Decoded frames brought to the size and channels that a stage asks for."""

import cv2
import numpy as np


def fit(image: np.ndarray, size: tuple[int, int] | None, gray: bool) -> np.ndarray:
    """An RGB or luma frame, uint8 (h, w[, 3]), as luma if ``gray`` and at ``size`` = (w, h), contiguous.

    Shrinking averages over areas, so that nothing aliases; enlarging is bilinear.
    """
    if gray and image.ndim == 3:
        image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    h, w = image.shape[:2]
    if size is not None and size != (w, h):
        shrink = size[0] <= w and size[1] <= h
        image = cv2.resize(
            np.ascontiguousarray(image), tuple(size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
        )
    return np.ascontiguousarray(image)
