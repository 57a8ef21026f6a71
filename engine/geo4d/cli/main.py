"""Entry point of ``geo4d``: parse, run one subcommand, turn every failure into one sentence and an exit status."""

import argparse
import json
import os
import sys

from .. import __version__
from ..errors import EXIT_BAD_REQUEST, EXIT_FAILED, EXIT_OK, GeoError, OutOfMemory
from ..scene.reader import SceneError
from . import doctor, evaluate, export, models, reconstruct, train

COMMANDS = {
    "reconstruct": reconstruct,
    "evaluate": evaluate,
    "export": export,
    "models": models,
    "train": train,
    "doctor": doctor,
}


class _Parser(argparse.ArgumentParser):
    """argparse whose complaints look like every other error, also in JSON mode."""

    def error(self, message: str):
        report_error(GeoError("bad_arguments", f"{message[:1].upper()}{message[1:]}.", f"See {self.prog} --help."))
        sys.exit(EXIT_BAD_REQUEST)


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="geo4d", description="Match-move and 4D reconstruction from one ordinary video.")
    parser.add_argument("--version", action="version", version=f"geo4d {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = module.__doc__.strip().splitlines()[0]
        sub = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def report_error(error: GeoError) -> None:
    """One JSON line on standard output for programs, or two plain lines on standard error for people."""
    if "--json" in sys.argv:
        event = {"event": "error", "code": error.code, "message": error.message, "hint": error.hint}
        print(json.dumps(event), flush=True)
    else:
        print(f"geo4d: {error.message}" + (f"\n       {error.hint}" if error.hint else ""), file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.run(arguments) or EXIT_OK
    except GeoError as error:
        report_error(error)
        return error.exit_status
    except SceneError as error:
        report_error(GeoError("scene_unreadable", str(error)))
        return EXIT_BAD_REQUEST
    except MemoryError:
        error = OutOfMemory("out_of_memory", "There is not enough memory.", "Close other programs or use --depth-size.")
        report_error(error)
        return error.exit_status
    except BrokenPipeError:
        # The reader of our output has gone; standard output must not be flushed again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:  # the last line of defence: a person sees a sentence, the log has the trace
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] in doctor.REQUIRED:
            error = doctor.package_missing(error.name, str(error))
            report_error(error)
            return error.exit_status
        import traceback

        traceback.print_exc(file=sys.stderr)
        report_error(
            GeoError("internal", f"Something unexpected happened: {error}.", "Please report it with the log above.")
        )
        return EXIT_FAILED
