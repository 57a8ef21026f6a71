"""A scene folder in the formats of other programs, one module a format."""

from pathlib import Path

from ..errors import BadRequest
from ..scene.reader import SceneError, read_scene
from .chan import export_chan
from .colmap import export_colmap
from .options import ExportOptions, make_options
from .ply import export_ply
from .tum import export_tum
from .usd import export_usd

__all__ = ["FORMATS", "ExportOptions", "export_scene"]

# Each takes (scene, target, options, progress), writes the target whole or not at all, and returns its path.
FORMATS = {"usd": export_usd, "colmap": export_colmap, "chan": export_chan, "ply": export_ply, "tum": export_tum}


def export_scene(folder: str | Path, format: str, target: str | Path, options: dict | None, progress) -> Path:
    """Write the scene in ``folder`` to ``target``, a file or (colmap, ply) a folder, and return where it is.

    ``options`` holds fields of :class:`~geo4d.export.options.ExportOptions` by name.

    Raises
    ------
    BadRequest
        unknown format or option, or a folder that is no scene.
    ModelMissing
        ``usd`` without the usd-core package.
    OutputError
        the target cannot be written.
    """
    if format not in FORMATS:
        raise BadRequest("unknown_format", f"There is no export format {format!r}.", f"Choose of {', '.join(FORMATS)}.")
    chosen = make_options(options or {})
    try:
        return FORMATS[format](read_scene(folder), Path(target), chosen, progress)
    except SceneError as error:
        raise BadRequest("scene_unreadable", str(error)) from error
