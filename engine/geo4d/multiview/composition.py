"""Everything that the untrained method says about one frame: what a learned filter starts from."""

from dataclasses import dataclass

import numpy as np

from .depth_frame import DepthFrame


@dataclass
class Composition:
    """Maps of one frame, float32 (h, w); inverse z-depth in world units."""

    measured: np.ndarray  # inverse depth as measured by this frame and its neighbours
    weight: np.ndarray  # information of ``measured``, 0 where nothing was
    static: np.ndarray  # the static scene, filled in also behind movers
    floor: np.ndarray | None  # the floor's inverse depth everywhere, <= 0 above its horizon; None where unknown
    d: np.ndarray  # static scene with the movers in front of it
    confidence: np.ndarray  # 0..1
    moving: np.ndarray  # 0..1

    def frame(self) -> DepthFrame:
        """The untrained result."""
        return DepthFrame(
            (1 / np.maximum(self.d, 1e-12)).astype(np.float32),
            self.confidence.astype(np.float32),
            self.moving.astype(np.float32),
        )
