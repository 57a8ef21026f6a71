"""Which Python runs the engine, and what it finds there."""

import importlib.util
import os
import sys
from pathlib import Path

ENGINE_ROOT = Path(__file__).resolve().parent.parent / "engine"

# A package of the extension's wheels: wherever Blender put it, the others lie beside it.
_WHEEL_PACKAGE = "pycolmap"


def bundled_site_packages() -> Path | None:
    """Folder into which Blender unpacked the extension's wheels, or None if they are not installed."""
    spec = importlib.util.find_spec(_WHEEL_PACKAGE)
    return Path(spec.origin).parent.parent if spec and spec.origin else None


def engine_python(chosen: str) -> str:
    """Path of the interpreter: the one chosen in the preferences, else Blender's own."""
    return chosen or sys.executable


def engine_environment(chosen: str) -> dict[str, str]:
    """Environment of the engine process.

    Blender's own Python gets the extension's wheels; another interpreter has packages of its own, and wheels made
    for Blender's Python version would break it. Both run the engine that came with this add-on.
    """
    environment = dict(os.environ)
    paths = [str(ENGINE_ROOT)]
    if not chosen:
        site_packages = bundled_site_packages()
        if site_packages:
            paths.append(str(site_packages))
        # Packages that a user installed for another Python of the same version must not shadow Blender's.
        environment["PYTHONNOUSERSITE"] = "1"
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8"
    return environment


def engine_command(chosen: str, *arguments: str) -> list[str]:
    return [engine_python(chosen), "-m", "geo4d", *arguments]
