"""Convert a scene to USD, COLMAP, Nuke .chan, a PLY sequence or a TUM trajectory."""

from pathlib import Path

from .console import reporter_for

_FORMATS = ("usd", "colmap", "chan", "ply", "tum")


def add_arguments(parser) -> None:
    parser.add_argument("scene", metavar="SCENE", type=Path, help="scene folder")
    parser.add_argument("target", metavar="TARGET", type=Path, help="file or folder to write")
    parser.add_argument("--format", choices=_FORMATS, required=True)
    parser.add_argument("--stride", type=int, default=2, help="keep every N-th depth pixel in both directions")
    parser.add_argument("--json", action="store_true", help="JSON lines for programs")


def run(arguments) -> None:
    from ..export import export_scene

    reporter = reporter_for(arguments.json, ("export",))
    options = {"stride": arguments.stride}
    written = export_scene(arguments.scene, arguments.format, arguments.target, options, reporter)
    reporter.result({"target": str(written), "format": arguments.format})
