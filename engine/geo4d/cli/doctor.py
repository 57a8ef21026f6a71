"""Say what this installation can do and what is missing.

``geo4d doctor --json`` prints one object; the add-on asks it before the first run.
"""

import importlib
import json
import os
import platform
import sys

from .. import __version__
from ..errors import EXIT_MODEL_MISSING, EXIT_OK, ModelMissing
from ..models.readiness import readiness
from ..models.registry import MODELS, ModelCard, weights_path

# What the CPU engine cannot do without, and what adds to it: import name -> (what it is for, how to get it)
REQUIRED = {
    "numpy": "arrays",
    "av": "movies",
    "cv2": "images, tracking, flow",
    "pycolmap": "structure from motion",
    "OpenEXR": "depth files",
}
OPTIONAL = {"pxr": ("USD export on the command line", 'pip install "geo4d[usd]"')}


def add_arguments(parser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")


def package_missing(name: str, reason: str) -> ModelMissing:
    """The error for a package that this Python does not have, or cannot load."""
    return ModelMissing(
        "package_missing",
        f"The package {name} cannot be loaded: {reason}.",
        f"This Python is {platform.python_version()}. Install the extension made for this Blender, or choose a Python "
        "in which Geo4D is installed.",
    )


def examine() -> dict:
    """What stands, as plain values: packages with versions (None = missing), engines, machine, problems."""
    packages, problems = {}, []
    for name, purpose in REQUIRED.items():
        try:
            module = importlib.import_module(name)
            packages[name] = getattr(module, "__version__", "present")
        except ImportError as error:
            packages[name] = None
            problem = package_missing(f"{name} ({purpose})", str(error))
            problems.append({"code": problem.code, "message": problem.message, "hint": problem.hint})
    for name in OPTIONAL:
        packages[name] = "present" if importlib.util.find_spec(name) else None
    return {
        "ok": not problems,
        "version": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "packages": packages,
        "engines": {
            "tracks": {"ready": not problems, "needs": "CPU", "weights": None, "commercial_use": True},
            **{card.name: _model_engine(card) for card in MODELS.values()},
        },
        "problems": problems,
    }


def _model_engine(card: ModelCard) -> dict:
    return {
        **readiness(card),
        "title": card.title,
        "needs": card.runs_on,
        "weights": str(weights_path(card.name)),
        "licence": card.licence,
        "commercial_use": card.commercial_use,
    }


def run(arguments) -> int:
    report = examine()
    if arguments.json:
        print(json.dumps(report))
    else:
        print(f"geo4d {report['version']}, Python {report['python']}, {report['platform']}")
        for name, version in report["packages"].items():
            note = "" if version or name not in OPTIONAL else f"   for {OPTIONAL[name][0]}: {OPTIONAL[name][1]}"
            print(f"  {name:10} {version or 'missing'}{note}")
        for problem in report["problems"]:
            print(f"{problem['message']}\n  {problem['hint']}")
        for name, engine in report["engines"].items():
            state = "ready" if engine["ready"] else "; ".join(engine.get("lacks", ["not ready"]))
            print(f"Engine {name}: {state}" + (f", on {engine['device']}." if engine.get("device") else "."))
    return EXIT_OK if report["ok"] else EXIT_MODEL_MISSING
