"""Camera that does not move: the living room from another corner, a person walks through it."""

import numpy as np
from figure import walk
from lens import Lens
from rig import look_at
from room import furnish
from street import clothe_walker

LENS = Lens(640, 360, 470.0)
MOTION = "static"
SAMPLES = 4
TITLE = "living room, camera on a stand; a person walks through"


def build(count: int, fps: float) -> np.ndarray:
    """Make the scene; returns camera poses (count, 4, 4), all equal."""
    furnish(np.random.default_rng(11))
    gait = walk((1.75, 1.62), (-1.05, 1.72), count, phase=0.8)
    clothe_walker(
        np.random.default_rng(9), gait, "Tenant", (0.30, 0.42, 0.36), (0.80, 0.76, 0.64), "checks", backpack=False
    )
    return np.repeat(look_at((1.15, -2.05, 1.55), (-0.35, 1.6, 0.82))[None], count, axis=0)
