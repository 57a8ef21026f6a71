"""What the user points at - a sequencer strip, a movie clip, a file - as footage for the engine."""

import re
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import compat
from .plate import IMAGE_SUFFIXES, siblings


class SourceError(ValueError):
    """The footage cannot be used as it is; the message says why and what to do."""


@dataclass
class Footage:
    """Footage and the part of it to reconstruct. Indices are 0-based positions in the footage."""

    path: Path
    first: int = 0
    last: int | None = None  # inclusive; None = to the end
    start_frame: int = 1  # scene frame of footage frame 0
    fps: float | None = None  # given for image sequences, which have none of their own

    trimmed: bool = False  # the range is less than what the footage has

    @property
    def name(self) -> str:
        """A name for the folder of its reconstruction; parts of one footage get different ones."""
        stem = self.path.name if self.path.is_dir() else self.path.stem
        if _is_sequence(self.path):
            stem = re.sub(r"[ ._-]*(\d+|#+|%0?\d*d)$", "", stem) or stem
        return f"{stem}_{self.first}-{self.last}" if self.trimmed else stem


def scene_fps(scene: bpy.types.Scene) -> float:
    return scene.render.fps / scene.render.fps_base


def _is_sequence(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES


def _existing(path: Path, owner: str, advice: str) -> Path:
    # A blank output of an image pattern is not a file itself; its folder must stand.
    found = path.exists() or ("#" in path.name and path.parent.is_dir())
    if not found:
        raise SourceError(f"{owner}'s file {path} is gone. {advice}")
    return path


def from_strip(strip, scene: bpy.types.Scene) -> Footage:
    """Footage of a movie or image strip; its trims become the range. Raises SourceError."""
    if strip is None:
        raise SourceError("No strip is active. Select a movie or image strip in the sequencer.")
    if len(getattr(strip, "retiming_keys", ())) or getattr(strip, "use_reverse_frames", False):
        raise SourceError(
            f"The strip {strip.name} is retimed or reversed. Add its source as a new strip and reconstruct that."
        )
    if strip.type == "MOVIE":
        return _from_movie_strip(strip, scene)
    if strip.type == "IMAGE":
        return _from_image_strip(strip, scene)
    raise SourceError(f"The strip {strip.name} is of type {strip.type.title()}. Select a movie or image strip.")


def _trimmed(strip, footage: Footage, hidden: int) -> Footage:
    """``footage`` with the range that the strip's handles leave; ``hidden`` source frames are cut off before it."""
    start = round(compat.strip_content_start(strip)) - hidden
    left, right = compat.strip_handles(strip)
    content_end = start + hidden + compat.strip_content_duration(strip)
    # Handles may be pulled beyond the content, where a strip shows a still.
    footage.first = max(left, start + hidden) - start
    footage.last = min(right, content_end) - 1 - start
    footage.start_frame = start
    footage.trimmed = left > start + hidden or right < content_end
    if footage.last < footage.first:
        raise SourceError(f"The strip {strip.name} shows no frame of its source. Move its handles.")
    return footage


def _from_movie_strip(strip, scene: bpy.types.Scene) -> Footage:
    advice = "Relink it in the strip's Source panel."
    path = _existing(Path(bpy.path.abspath(strip.filepath)), f"The strip {strip.name}", advice)
    # A strip of another frame rate plays retimed: its frames are not one a scene frame.
    rate = getattr(strip, "fps", 0.0)
    if rate and abs(rate / scene_fps(scene) - 1) > 0.002:
        raise SourceError(
            f"The strip {strip.name} has {rate:.3f} frames a second, the scene {scene_fps(scene):.3f}. "
            "Set the scene's frame rate to the strip's, then add the strip again."
        )
    return _trimmed(strip, Footage(path), compat.strip_hidden_frames(strip))


def _from_image_strip(strip, scene: bpy.types.Scene) -> Footage:
    names = [element.filename for element in strip.elements]
    if len(names) < 3:
        raise SourceError(f"The strip {strip.name} is a still of {len(names)} image. Select a sequence of images.")
    folder = Path(bpy.path.abspath(strip.directory))
    path = _existing(folder / names[0], f"The strip {strip.name}", "Relink it in the strip's Source panel.")
    number = {file.name: number for number, file in siblings(path).items()}
    shown = [number.get(name) for name in names]
    if None in shown or shown != list(range(shown[0], shown[0] + len(shown))):
        raise SourceError(
            f"The images of the strip {strip.name} are not one sequence without gaps. "
            "Add the sequence again, or reconstruct its folder as a file."
        )
    footage = _trimmed(strip, Footage(path, fps=scene_fps(scene)), compat.strip_hidden_frames(strip))
    # The engine counts from the first file on disk, which the strip need not show.
    before = shown[0] - min(number.values())
    footage.first, footage.last = footage.first + before, footage.last + before
    footage.start_frame -= before
    return footage


def from_clip(clip: bpy.types.MovieClip | None, scene: bpy.types.Scene) -> Footage:
    """Footage of a movie clip, whole. Raises SourceError."""
    if clip is None:
        raise SourceError("No movie clip is open. Open one in the Movie Clip Editor.")
    path = _existing(Path(bpy.path.abspath(clip.filepath)), f"The clip {clip.name}", "Choose its file again.")
    fps = scene_fps(scene) if clip.source == "SEQUENCE" else None
    return Footage(path, start_frame=clip.frame_start, fps=fps)


def from_file(path: str, scene: bpy.types.Scene) -> Footage:
    """Footage of a path: a movie, an image of a sequence, or a folder of images. Raises SourceError."""
    if not path:
        raise SourceError("No footage is chosen. Choose a movie or an image sequence.")
    file = _existing(Path(bpy.path.abspath(path)), "The footage", "Choose it again.")
    return Footage(file, start_frame=1, fps=scene_fps(scene) if _is_sequence(file) else None)
