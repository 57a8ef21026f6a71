"""Pan on a tripod: the optical centre stays, the camera turns along the fronts across the street."""

import numpy as np
from figure import walk
from lens import Lens
from rig import look_at
from street import car, clothe_walker, drive, town

LENS = Lens(640, 360, 560.0)
MOTION = "tripod"
SAMPLES = 4
TITLE = "street fronts, pure pan of 32 degrees; a car and a walking person move"


def build(count: int, fps: float) -> np.ndarray:
    """Make the scene; returns camera poses (count, 4, 4) with one position."""
    town(np.random.default_rng(21))
    drive(car("Coupe", (0.05, 0.16, 0.3)), (1.55, 13.5), (1.55, 1.5), count)
    clothe_walker(
        np.random.default_rng(6),
        walk((4.9, 6.2), (5.0, 8.9), count, phase=1.0),
        "Passer-by",
        (0.55, 0.2, 0.18),
        (0.8, 0.76, 0.7),
    )
    s = np.linspace(0, 1, count)
    ease = 0.25 * s + 0.75 * (3 * s**2 - 2 * s**3)
    yaw = np.radians(60 + 32 * ease)
    pitch = np.radians(-3.0 + 1.5 * np.sin(np.pi * s))
    centre = np.array([-5.9, 3.2, 2.6])
    ahead = np.stack([np.sin(yaw), np.cos(yaw), np.sin(pitch)], axis=-1)
    return np.stack([look_at(centre, centre + step) for step in ahead])
