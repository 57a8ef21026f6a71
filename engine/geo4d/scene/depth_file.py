"""One EXR file per frame: float32 R = z-depth, half G = confidence, half B = probability of motion."""

import os
from pathlib import Path

import numpy as np
import OpenEXR

from ..errors import OutputError
from ..multiview.depth_frame import DepthFrame
from .reader import SceneError


def write_depth(path: str | Path, frame: DepthFrame) -> None:
    """Write one frame's maps; the file appears complete or not at all.

    Depth that is not finite or not positive is stored as 0, which means "none". Raises
    :class:`~geo4d.errors.OutputError` when the disk refuses.
    """
    path = Path(path)
    depth = np.asarray(frame.depth, dtype=np.float32)
    usable = np.isfinite(depth) & (depth > 0)
    channels = {
        "R": np.ascontiguousarray(np.where(usable, depth, np.float32(0))),
        "G": _half(frame.confidence),
        "B": _half(frame.dynamic),
    }
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    # A name of this process's own: two runs into one folder must not share a half-written file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        OpenEXR.File(header, channels).write(str(temporary))
        os.replace(temporary, path)
    except (OSError, RuntimeError, ValueError) as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            "depth_not_written",
            f"The depth file {path} cannot be written ({error}).",
            "Free some disk space or choose another output folder.",
        ) from error


def read_depth(path: str | Path) -> DepthFrame:
    """Read what :func:`write_depth` wrote. Raises :class:`~geo4d.scene.reader.SceneError` naming the file."""
    path = Path(path)
    if not path.is_file():
        raise SceneError(f"The depth file {path} is missing. Reconstruct the shot again.")
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.array(channel.pixels) for name, channel in file.channels().items()}
        depth, confidence, dynamic = (channels[name].astype(np.float32) for name in "RGB")
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise SceneError(f"The depth file {path} cannot be read ({error}). Reconstruct the shot again.") from error
    return DepthFrame(depth=depth, confidence=confidence, dynamic=dynamic)


def _half(values: np.ndarray) -> np.ndarray:
    """Probabilities (h, w) as float16 in 0..1; NaN becomes 0."""
    return np.ascontiguousarray(np.clip(np.nan_to_num(values, nan=0.0), 0.0, 1.0).astype(np.float16))
