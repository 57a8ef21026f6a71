"""Train the weights that ship with the engine on procedural scenes, from nothing or on from what there is."""

from pathlib import Path

from ..errors import BadRequest, ModelMissing
from .console import listen_for_cancel, reporter_for

STAGES = (("examples", 5.0), ("train", 10.0))


def add_arguments(parser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    depth = _task(what, "depth", "the depth network of engine tracks", _depth)
    depth.add_argument("--from", dest="start", metavar="WEIGHTS.onnx", type=Path, help="begin with these weights")
    mini = _task(what, "mini", "the model mini", _mini)
    mini.add_argument(
        "--from", dest="start", metavar="WEIGHTS", type=Path, help="begin with these weights; shipped = the program's"
    )
    mini.add_argument("--batch", type=int, default=4, help="windows a step (default 4)")
    mini.add_argument("--large", action="store_true", help="the larger network, for an accelerator")
    _task(what, "vggt", "the small twin of 4D-VGGT", _vggt)


def _task(what, name: str, summary: str, act):
    """One thing to train, with the arguments that all have."""
    sub = what.add_parser(name, help=summary, description=act.__doc__.splitlines()[0])
    sub.add_argument("folder", metavar="FOLDER", type=Path, help="training state, examples and weights; continued")
    sub.add_argument("--minutes", type=float, default=60.0, help="length of this run's schedule (default 60)")
    sub.add_argument("--steps", type=int, help="steps instead of minutes: repeatable exactly")
    sub.add_argument("--clips", type=int, default=200, help="procedural clips to learn from (default 200)")
    sub.add_argument("--workers", type=int, default=1, help="processes that make examples (default 1)")
    sub.add_argument("--threads", type=int, help="threads of the training itself")
    sub.add_argument("--learning-rate", type=float, default=1e-3)
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    sub.add_argument("--json", action="store_true", help="JSON lines for programs")
    sub.set_defaults(act=act)
    return sub


def run(arguments) -> None:
    arguments.act(arguments)


def _begin(arguments):
    """A reporter, once torch, device and figures are known to be there and sensible."""
    try:
        import torch
    except ImportError as error:
        raise ModelMissing(
            "package_missing", "Training needs torch, which is not installed.", 'Run: pip install "geo4d[gpu]"'
        ) from error
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        raise BadRequest("no_device", f"There is no device {arguments.device} here.", "Use --device cpu.")
    if arguments.minutes <= 0 or arguments.clips < 1:
        raise BadRequest(
            "bad_arguments",
            f"A run of {arguments.minutes:g} minutes on {arguments.clips} clips trains nothing.",
            "Give --minutes and --clips above 0.",
        )
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    reporter = reporter_for(arguments.json, STAGES)
    listen_for_cancel(reporter, watch_stdin=False)
    return reporter


def _budget(arguments):
    """What the shared options say of a run."""
    from ..training.loop import LoopSettings

    return LoopSettings(
        arguments.folder,
        minutes=arguments.minutes,
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        device=arguments.device,
    )


def _depth(arguments) -> None:
    """Train the depth network: examples first, then the schedule, then FOLDER/depth.onnx and its figures."""
    reporter = _begin(arguments)
    from ..training import seeded_files
    from ..training.depth import validation
    from ..training.depth.examples import make_file
    from ..training.depth.export import write_onnx
    from ..training.depth.task import DepthTraining
    from ..training.loop import train

    examples = arguments.folder / "examples"
    seeded_files.fill(examples, arguments.clips, make_file, reporter, arguments.seed, arguments.workers)
    task = DepthTraining(examples, arguments.device, start=arguments.start)
    state = train(task, _budget(arguments), reporter)
    figures, share, keep_motion = {}, 1.0, False
    if task.pool.validation:
        found = validation.outputs(state.average, task.pool.validation, arguments.device)
        share = validation.best_share(found)
        figures = validation.figures(found, share)
        keep_motion = figures.get("learned_moving_iou", 1) < figures.get("untrained_moving_iou", 0)
    validation.temper(state.average, share, keep_motion)
    weights = arguments.folder / "depth.onnx"
    about = {"steps": str(state.step), "minutes": f"{state.seconds / 60:.1f}", "share": f"{share:g}"}
    write_onnx(state.average, weights, about)
    reporter.result(
        {"weights": str(weights), "steps": state.step, "share": share, "motion_kept": keep_motion, **figures}
    )


def _mini(arguments) -> None:
    """Train mini: clips first, then autoencoder and denoiser, then FOLDER/mini.safetensors and its figures."""
    reporter = _begin(arguments)
    from ..models.registry import weights_path
    from ..training import window_clips
    from ..training.mini import schedule

    clips = arguments.folder / "clips"
    window_clips.fill(clips, arguments.clips, reporter, arguments.seed, arguments.workers)
    loop = _budget(arguments)
    start = weights_path("mini") if str(arguments.start) == "shipped" else arguments.start
    settings = schedule.MiniSettings(loop, clips, arguments.large, arguments.batch, start=start)
    weights, figures = schedule.run(settings, reporter)
    reporter.result({"weights": str(weights), **figures})


def _vggt(arguments) -> None:
    """Train the small twin of 4D-VGGT: clips first, then the schedule, then FOLDER/vggt-mini.safetensors."""
    reporter = _begin(arguments)
    from ..training import window_clips
    from ..training.loop import train
    from ..training.vggt.export import write
    from ..training.vggt.task import Twin
    from ..training.vggt.validation import figures

    clips = arguments.folder / "clips"
    window_clips.fill(clips, arguments.clips, reporter, arguments.seed, arguments.workers)
    store = window_clips.Store(clips)
    settings = _budget(arguments)
    state = train(Twin(store), settings, reporter)
    weights = arguments.folder / "vggt-mini.safetensors"
    found = figures(state.average.network, store, arguments.device)
    write(state.average.network, weights, {"steps": str(state.step), "minutes": f"{state.seconds / 60:.1f}"})
    reporter.result({"weights": str(weights), "steps": state.step, **found})
