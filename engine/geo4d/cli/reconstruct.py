"""Reconstruct footage: solved camera, depth of every frame, static points, as a scene folder."""

import os
import time
from pathlib import Path

from ..errors import BadRequest, OutOfMemory
from ..models.registry import MODELS
from .console import listen_for_cancel, reporter_for

# Stages in the order of a moving shot with their relative cost, for the estimate of the remaining time. Tripod and
# static shots skip some.
STAGES = (
    ("read", 0.5),
    ("cuts", 0.5),
    ("track", 5.0),
    ("match", 3.0),
    ("survey", 0.5),
    ("turn", 0.5),
    ("pairs", 2.0),
    ("map", 4.0),
    ("tripod", 0.5),
    ("adjust", 2.0),
    ("resect", 0.5),
    ("solve", 0.1),
    ("depth", 15.0),
    ("agree", 3.0),
)
# A model's windows take what the embedded engine's mapping and multi-view depth do not.
MODEL_STAGES = (
    ("read", 0.5),
    ("cuts", 0.5),
    ("predict", 80.0),
    ("align", 3.0),
    ("track", 5.0),
    ("adjust", 2.0),
    ("solve", 0.1),
    ("depth", 2.0),
)


def add_arguments(parser) -> None:
    parser.add_argument("footage", metavar="FOOTAGE", help="movie, image of a sequence, or folder of images")
    parser.add_argument("-o", "--output", metavar="SCENE", type=Path, help="scene folder (default: FOOTAGE.geo4d)")
    parser.add_argument("--first", type=int, default=0, help="first frame, counted from 0")
    parser.add_argument("--last", type=int, help="last frame, inclusive")
    parser.add_argument("--step", type=int, default=1, help="use every N-th frame")
    parser.add_argument("--fps", type=float, help="frame rate of an image sequence (default 24)")
    lens = parser.add_mutually_exclusive_group()
    lens.add_argument("--focal-px", type=float, help="known focal length in footage pixels")
    lens.add_argument("--focal-mm", type=float, help="known focal length in millimetres, with --sensor-mm")
    parser.add_argument(
        "--lens",
        choices=("auto", "fixed", "zoom"),
        default="auto",
        help="whether the focal length changes within the shot (default: as the footage shows)",
    )
    parser.add_argument("--sensor-mm", type=float, default=36.0, help="sensor width in millimetres (default 36)")
    parser.add_argument("--model", choices=("tracks", *MODELS), default="tracks", help="engine (default tracks)")
    parser.add_argument(
        "--weights", metavar="FILE", type=Path, help="weights of the model, where geo4d models has none"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where a model computes")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "float16", "bfloat16"),
        default="auto",
        help="of a model's network; geometry is float32 in any case",
    )
    parser.add_argument("--stride", type=int, help="frames between a model's windows (default: the model's own)")
    parser.add_argument("--steps", type=int, help="of denoising, for model mini (default 1: the prediction itself)")
    parser.add_argument("--exact", action="store_true", help="run a model as it was released, quirks included")
    parser.add_argument("--low-memory", action="store_true", help="run a model slower, in as little memory as it can")
    parser.add_argument("--depth-size", type=int, default=448, help="longer side of the depth maps, 0 for none")
    parser.add_argument("--fresh", action="store_true", help="ignore finished and unfinished earlier work")
    parser.add_argument("--threads", type=int, help="processor threads (default: all)")
    parser.add_argument("--json", action="store_true", help="JSON lines for programs")
    parser.add_argument("--watch-stdin", action="store_true", help="cancel when standard input closes")


def run(arguments) -> None:
    _check(arguments)
    if arguments.threads:
        os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    # Importing the libraries takes a second: show life first.
    reporter = reporter_for(arguments.json, STAGES if arguments.model == "tracks" else MODEL_STAGES)
    listen_for_cancel(reporter, arguments.watch_stdin)
    import cv2

    from ..models.windowed import ModelOptions
    from ..pipeline import Settings, reconstruct

    if arguments.threads:
        cv2.setNumThreads(arguments.threads)
    settings = Settings(
        first=arguments.first,
        last=arguments.last,
        step=arguments.step,
        fps=arguments.fps,
        focal_px=_focal_px(arguments),
        lens=arguments.lens,
        depth_long_side=arguments.depth_size,
        model=arguments.model,
        options=ModelOptions(
            weights=str(arguments.weights) if arguments.weights else None,
            device=arguments.device,
            precision=arguments.precision,
            stride=arguments.stride,
            steps=arguments.steps,
            exact=arguments.exact,
            low_memory=arguments.low_memory,
        ),
    )
    begun = time.perf_counter()
    output = arguments.output or Path(str(arguments.footage).rstrip("/\\") + ".geo4d")
    try:
        result = reconstruct(arguments.footage, output, settings, reporter, fresh=arguments.fresh)
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        raise OutOfMemory(
            "out_of_memory", f"There is not enough memory ({error.err}).", "Use a smaller --depth-size or fewer frames."
        ) from error
    reporter.result({**result, "seconds": round(time.perf_counter() - begun, 1)})


def _check(arguments) -> None:
    rules = (
        (arguments.first >= 0, "--first", arguments.first, "0 or more"),
        (arguments.last is None or arguments.last >= arguments.first, "--last", arguments.last, "at least --first"),
        (arguments.step >= 1, "--step", arguments.step, "1 or more"),
        (arguments.fps is None or arguments.fps > 0, "--fps", arguments.fps, "above 0"),
        (arguments.focal_px is None or arguments.focal_px > 0, "--focal-px", arguments.focal_px, "above 0"),
        (arguments.focal_mm is None or arguments.focal_mm > 0, "--focal-mm", arguments.focal_mm, "above 0"),
        (arguments.sensor_mm > 0, "--sensor-mm", arguments.sensor_mm, "above 0"),
        (
            arguments.depth_size == 0 or 64 <= arguments.depth_size <= 4096,
            "--depth-size",
            arguments.depth_size,
            "0, or 64 to 4096",
        ),
        (arguments.stride is None or arguments.stride >= 1, "--stride", arguments.stride, "1 or more"),
        (arguments.steps is None or 1 <= arguments.steps <= 100, "--steps", arguments.steps, "1 to 100"),
        (arguments.threads is None or arguments.threads >= 1, "--threads", arguments.threads, "1 or more"),
    )
    if arguments.lens == "zoom" and (arguments.focal_px or arguments.focal_mm):
        raise BadRequest(
            "bad_arguments",
            "--lens zoom contradicts a known focal length.",
            "Give --lens zoom alone: the focal length of every frame is then solved for.",
        )
    for valid, option, value, wanted in rules:
        if not valid:
            raise BadRequest("bad_arguments", f"{option} is {value}.", f"Give {wanted}.")


def _focal_px(arguments) -> float | None:
    if arguments.focal_mm is None:
        return arguments.focal_px
    from ..footage import open_footage

    # The sensor's width goes with the picture's longer side, also for footage filmed upright.
    shot = open_footage(arguments.footage, first=arguments.first, last=arguments.first, fps=arguments.fps)
    return arguments.focal_mm / arguments.sensor_mm * max(shot.width, shot.height)
