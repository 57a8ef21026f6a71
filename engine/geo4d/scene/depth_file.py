"""One EXR file per frame: float32 R = z-depth, half G = confidence, half B = probability of motion."""

import errno
from pathlib import Path

import numpy as np
import OpenEXR

from ..multiview.depth_frame import DepthFrame
from .checkpoint import replace_atomically
from .reader import SceneError
from .workspace import output_errors


def write_depth(path: str | Path, frame: DepthFrame) -> None:
    """Write one frame's maps; the file appears complete or not at all.

    Depth that is not finite or not positive is stored as 0, which means "none". Raises
    :class:`~geo4d.errors.OutputError` when the disk refuses.
    """
    depth = np.asarray(frame.depth, dtype=np.float32)
    usable = np.isfinite(depth) & (depth > 0)
    channels = {
        "R": np.ascontiguousarray(np.where(usable, depth, np.float32(0))),
        "G": _half(frame.confidence),
        "B": _half(frame.dynamic),
    }
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}

    def write(temporary: Path) -> None:
        try:
            OpenEXR.File(header, channels).write(str(temporary))
        except RuntimeError as error:
            # OpenEXR does not say why. Plain writing of as many bytes meets the same obstacle and names it.
            with open(temporary, "wb") as file:
                file.write(bytes(2 * depth.nbytes))
            raise OSError(errno.EIO, str(error)) from error

    with output_errors(Path(path)):
        replace_atomically(Path(path), write)


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
