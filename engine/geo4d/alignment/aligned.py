"""What alignment hands on: cameras of the whole shot, and depth of every frame in their world."""

from dataclasses import dataclass, field

import numpy as np

from ..matchmove.solve import Solve
from ..multiview.depth_frame import DepthFrame


@dataclass
class Aligned:
    """Cameras of F frames in one world, and maps of each frame in the filmed picture (no lens distortion assumed).

    ``solve`` refers to footage resolution; its points are a few thousand confident static ones, grey. The world is
    scaled so that the median depth is 1, which keeps depth in half precision accurate to 0.05 %.
    """

    solve: Solve
    width: int  # of the maps; they cover the footage's field of view, pixels need not be square
    height: int
    depth: np.ndarray  # (F, height, width) float16 z-depth in world units, 0 = none
    confidence: np.ndarray  # (F, height, width) float16 0..1
    dynamic: np.ndarray  # (F, height, width) float16 probability 0..1 that the pixel moves in the world
    window_ok: np.ndarray  # (G,) bool: the window took part; False = failed and left out
    statistics: dict = field(default_factory=dict)  # plain numbers and strings for scene.json

    def __len__(self) -> int:
        return len(self.depth)

    def frame(self, position: int) -> DepthFrame:
        """Maps of one frame in float32."""
        return DepthFrame(
            depth=self.depth[position].astype(np.float32),
            confidence=self.confidence[position].astype(np.float32),
            dynamic=self.dynamic[position].astype(np.float32),
        )
