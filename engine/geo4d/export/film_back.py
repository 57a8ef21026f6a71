"""Intrinsics in pixels as focal length and film back in millimetres."""

from dataclasses import dataclass

import numpy as np

from ..scene.reader import Scene


@dataclass
class FilmBacks:
    """Per frame (F,), millimetres. Offsets are of the picture's centre from the optical axis, right and up."""

    width: float
    focal: np.ndarray
    height: np.ndarray
    offset_x: np.ndarray
    offset_y: np.ndarray


def film_backs(scene: Scene, width_mm: float) -> FilmBacks:
    """Film backs whose width is ``width_mm``; unequal focal lengths in x and y become the height's business."""
    focal = scene.fx * width_mm / scene.width
    return FilmBacks(
        width=width_mm,
        focal=focal,
        height=focal * scene.height / scene.fy,
        offset_x=(scene.width / 2 - scene.cx) * focal / scene.fx,
        offset_y=(scene.cy - scene.height / 2) * focal / scene.fy,
    )
