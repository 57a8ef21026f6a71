"""One image file to 8-bit display RGB."""

from pathlib import Path

import cv2
import numpy as np

from ..errors import FootageError

OPENCV_TYPES = {".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".webp", ".jp2", ".pgm", ".ppm", ".hdr"}
EXR_TYPES = {".exr"}
FFMPEG_TYPES = {".dpx", ".tga", ".sgi", ".cin"}
IMAGE_TYPES = OPENCV_TYPES | EXR_TYPES | FFMPEG_TYPES


def read_image(path: Path) -> np.ndarray:
    """Decode an image as uint8 (h, w, 3) RGB in sRGB display space.

    Alpha is ignored. 16-bit images are rounded to 8 bits. Float images are taken as linear light with sRGB
    primaries and shown at a fixed exposure (1.0 is white), so that brightness never flickers between frames.
    JPEG orientation is applied. Raises FootageError naming the file.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise FootageError(
            "footage_missing", f"The image {path} has disappeared.", "Put it back or choose a range without it."
        ) from error
    except OSError as error:
        raise FootageError("footage_unreadable", f"The image {path} cannot be read ({error}).", _HINT) from error
    if size == 0:
        raise FootageError("footage_empty", f"The image {path} is empty (0 bytes).", _HINT)
    kind = path.suffix.lower()
    try:
        if kind in EXR_TYPES:
            return _read_exr(path)
        if kind in FFMPEG_TYPES:
            return _read_with_ffmpeg(path)
        return _read_with_opencv(path)
    except PermissionError as error:
        raise FootageError("footage_unreadable", f"The image {path} cannot be read ({error}).", _HINT) from error
    except (OSError, RuntimeError, ValueError, cv2.error) as error:
        raise FootageError("footage_undecodable", f"The image {path} cannot be decoded ({error}).", _HINT) from error


_HINT = "Render or copy it again, or choose a range without it."


def linear_to_display(linear: np.ndarray) -> np.ndarray:
    """Linear light, float32, to uint8 by the sRGB transfer curve (IEC 61966-2-1); NaN shows black."""
    x = np.clip(np.nan_to_num(linear.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    # 12 bits of table are not enough near black, 16 are: the curve's slope there is 12.92.
    return _DISPLAY_OF_LINEAR[np.rint(x * 65535.0).astype(np.uint16)]


def _display_table() -> np.ndarray:
    x = np.arange(65536) / 65535.0
    curve = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(x, 1 / 2.4) - 0.055)
    return np.rint(curve * 255.0).astype(np.uint8)


_DISPLAY_OF_LINEAR = _display_table()


def _read_with_opencv(path: Path) -> np.ndarray:
    # imread cannot open non-ASCII paths on Windows; NumPy can.
    data = np.fromfile(path, dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise ValueError("its content is not a complete image")
    image = image[..., ::-1]
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    if image.dtype == np.uint16:
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype in (np.float32, np.float64):
        return linear_to_display(image)
    raise ValueError(f"its pixels are {image.dtype}")


def _read_with_ffmpeg(path: Path) -> np.ndarray:
    import av

    with av.open(str(path.absolute())) as container:
        for frame in container.decode(video=0):
            return frame.to_ndarray(format="rgb24")
    raise ValueError("it holds no picture")


def _read_exr(path: Path) -> np.ndarray:
    import OpenEXR

    with OpenEXR.File(str(path), separate_channels=True) as file:
        for part in file.parts:
            names = colour_channels(list(part.channels))
            if names is not None:
                planes = [np.asarray(part.channels[name].pixels, dtype=np.float32) for name in names]
                return linear_to_display(_in_display_window(np.stack(planes, axis=-1), part.header))
    raise ValueError("it has no colour channels")


def exr_pixel_aspect(path: Path) -> float:
    """Width of a pixel over its height, as the EXR header states it."""
    import OpenEXR

    with OpenEXR.File(str(path), header_only=True) as file:
        return float(file.header().get("pixelAspectRatio", 1.0))


def colour_channels(names: list[str]) -> list[str] | None:
    """Which three EXR channels make the picture; None where there is none.

    Plain R, G, B come first, then a layer (the combined or beauty pass before any other), then luminance Y.
    """
    by_lower = {name.lower(): name for name in names}
    layers = sorted({name.rpartition(".")[0] for name in by_lower if name.rpartition(".")[2] in ("r", "red")})
    layers.sort(key=lambda layer: (layer != "", not any(word in layer for word in ("combined", "beauty", "rgba"))))
    for layer in layers:
        prefix = f"{layer}." if layer else ""
        for triple in (("r", "g", "b"), ("red", "green", "blue")):
            if all(prefix + channel in by_lower for channel in triple):
                return [by_lower[prefix + channel] for channel in triple]
    return [by_lower["y"]] * 3 if "y" in by_lower else None


def _in_display_window(image: np.ndarray, header: dict) -> np.ndarray:
    """The picture area of an EXR whose stored area may be cropped or carry overscan."""
    (dx0, dy0), (dx1, dy1) = (np.asarray(corner, dtype=int) for corner in header["dataWindow"])
    (x0, y0), (x1, y1) = (np.asarray(corner, dtype=int) for corner in header["displayWindow"])
    if (dx0, dy0, dx1, dy1) == (x0, y0, x1, y1):
        return image
    canvas = np.zeros((y1 - y0 + 1, x1 - x0 + 1, 3), dtype=np.float32)
    left, top, right, bottom = max(x0, dx0), max(y0, dy0), min(x1, dx1) + 1, min(y1, dy1) + 1
    if right > left and bottom > top:
        canvas[top - y0 : bottom - y0, left - x0 : right - x0] = image[
            top - dy0 : bottom - dy0, left - dx0 : right - dx0
        ]
    return canvas
