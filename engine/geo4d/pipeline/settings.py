"""What a request asks for, and the key under which its result is known."""

import dataclasses
import hashlib
import json

from .. import __version__
from ..models.windowed import ModelOptions, weights_file, weights_identity
from ..multiview.network import shipped_identity

TRACKS = "tracks"  # the embedded engine, which needs no model

# Where a run computes does not change what it computes.
_NOT_IN_KEY = ("device", "low_memory", "weights")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything of a request that changes the result; part of the cache key."""

    first: int = 0  # footage index
    last: int | None = None  # footage index, inclusive; None = to the end
    step: int = 1
    fps: float | None = None  # for image sequences
    focal_px: float | None = None  # known focal length in footage pixels
    lens: str = "auto"  # "fixed": one focal length; "zoom": one a frame; "auto": as the footage shows
    depth_long_side: int = 448  # longer side of the depth maps in pixels, 0 = no depth
    model: str = TRACKS
    options: ModelOptions = dataclasses.field(default_factory=ModelOptions)


def cache_key(footage_hash: str, settings: Settings) -> str:
    """Hash of everything that determines the result. Raises ModelMissing where a model has no weights."""
    parts = {"footage": footage_hash, "engine": __version__, **dataclasses.asdict(settings)}
    options = parts.pop("options")
    if settings.model == TRACKS:
        parts["depth_network"] = shipped_identity()
    else:
        parts["options"] = {name: value for name, value in options.items() if name not in _NOT_IN_KEY}
        parts["weights"] = weights_identity(weights_file(settings.model, settings.options))
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=20).hexdigest()
