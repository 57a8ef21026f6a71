"""The footage in Blender: movie clip behind the camera with the solved lens, and the image that colours the points."""

import re
from dataclasses import dataclass
from pathlib import Path

import bpy

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".exr", ".bmp", ".dpx", ".hdr", ".webp")
_LAST_NUMBER = re.compile(r"\d+(?=\D*$)")


@dataclass
class PlateImage:
    """Footage as an image datablock; footage frame 0 has number ``first_frame`` there."""

    image: bpy.types.Image
    first_frame: int


def first_file(path: Path) -> tuple[Path, int | None]:
    """First file of the footage at ``path`` and its number; the number is None for a movie.

    ``path`` is a movie, or a folder, a pattern (``####`` or ``%04d``) or one file of an image sequence.
    """
    if path.is_dir():
        files = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
        numbered = {int(found[0]): file for file in files if (found := _LAST_NUMBER.search(file.stem))}
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        numbered = siblings(path)
    else:
        return path, None
    number = min(numbered, default=None)
    return (path, 0) if number is None else (numbered[number], number)


def siblings(path: Path) -> dict[int, Path]:
    """Files named like ``path`` but for the frame number: the last number in the name, or the pattern's place."""
    hole = re.search(r"#+|%0?\d*d", path.name) or _LAST_NUMBER.search(path.stem)
    if hole is None or not path.parent.is_dir():
        return {}
    name = re.compile(re.escape(path.name[: hole.start()]) + r"(\d+)" + re.escape(path.name[hole.end() :]))
    return {int(found[1]): file for file in path.parent.iterdir() if (found := name.fullmatch(file.name))}


def load_plate_image(path: Path) -> PlateImage:
    """The footage as an image for shaders and geometry nodes."""
    file, number = first_file(path)
    image = bpy.data.images.load(str(file), check_existing=False)
    image.name = f"{path.stem} plate"
    if number is None:
        image.source = "MOVIE"
        return PlateImage(image, 1)  # movies count from 1
    image.source = "SEQUENCE"
    return PlateImage(image, number)


def load_clip(path: Path, scene, start_frame: int) -> bpy.types.MovieClip:
    """The footage as a movie clip that plays from scene frame ``start_frame``, with the solved lens set on it.

    Blender's principal point counts from the bottom left; its POLYNOMIAL model's first term is the engine's k1
    for the same normalised coordinates.
    """
    file, _ = first_file(path)
    clip = bpy.data.movieclips.load(str(file), check_existing=False)
    clip.frame_start = start_frame
    set_clip_lens(clip, scene)
    return clip


def set_clip_lens(clip: bpy.types.MovieClip, scene) -> None:
    """Write the lens of the shot's first frame to ``clip``: a clip holds one lens for all frames."""
    lens = clip.tracking.camera
    # Width of a pixel over its height.
    lens.pixel_aspect = float(scene.fy[0] / scene.fx[0])
    lens.units = "PIXELS"
    lens.focal_length_pixels = float(scene.fx[0])
    lens.principal_point_pixels = (float(scene.cx[0]), float(scene.height - scene.cy[0]))
    lens.distortion_model = "POLYNOMIAL"
    lens.k1, lens.k2, lens.k3 = float(scene.k1), 0.0, 0.0


def set_background(camera: bpy.types.Object, clip: bpy.types.MovieClip, undistorted: bool) -> None:
    """Show ``clip`` behind everything in the camera's view, filling the frame exactly."""
    data = camera.data
    data.show_background_images = True
    background = data.background_images.new()
    background.source = "MOVIE_CLIP"
    background.clip = clip
    background.clip_user.use_render_undistorted = undistorted
    background.alpha = 1.0
    background.display_depth = "BACK"
    # The plate's pixels are the render's pixels, whatever their aspect.
    background.frame_method = "STRETCH"
