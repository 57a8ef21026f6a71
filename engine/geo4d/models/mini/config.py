"""Sizes of the network."""

import json
from dataclasses import asdict, dataclass

from ...errors import BadRequest

VERSION = 1  # of the architecture; weights of another do not fit
STRIDE = 8  # pixels a latent cell
POINT_CHANNELS, DISPARITY_CHANNELS, RAY_CHANNELS = 8, 4, 6
LATENT_CHANNELS = POINT_CHANNELS + DISPARITY_CHANNELS + RAY_CHANNELS
FRAMES = 8  # a window
NEIGHBOURS = (-2, -1, 1, 2)  # frames that each frame is matched with, beside the first


@dataclass(frozen=True)
class MiniConfig:
    """Widths and depths. The defaults are the shipped weights'; :data:`LARGE` is for training on an accelerator."""

    coder: int = 48  # channels of the autoencoder at a quarter of the resolution
    features: int = 32  # channels of the picture's features at a quarter of the resolution
    width: int = 128  # of the transformer
    heads: int = 4
    layers: int = 4

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "MiniConfig":
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise BadRequest(
                "checkpoint_version",
                f"The sizes of these weights of mini are not understood: {text}.",
                "Use weights that this version of the program wrote.",
            ) from error


LARGE = MiniConfig(coder=96, features=96, width=320, heads=10, layers=12)
