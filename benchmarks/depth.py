"""Accuracy and cost of dense depth: constant, untrained and learned multi-view, and the depth of any other engine.

"Untrained" is measured, filled and settled; "agreed" has the passes of agreement that "learned" has too.

``python benchmarks/depth.py [CLIP ...] [--cameras solved|truth] [--row N | --every N] [--weights FILE]
[--scenes ENGINE=FOLDER ...]``: every clip with true depth. Depth is aligned by one median ratio a sequence and judged
at all true pixels; CPU seconds count all threads. Steadiness is the median change of log depth of static pixels
carried from one frame to the next.

Other engines: reconstruct each clip into ``FOLDER/<clip>`` (``geo4d reconstruct --engine ...``) and name the folder;
their scenes are judged at the same frames and pixels.
"""

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from clips import Clip, cpu_seconds, find_clips, peak_memory_mib, print_table
from geo4d.evaluation.depth_metrics import DepthErrors, fit_scale
from geo4d.evaluation.evaluate import filmed_to_pinhole, scene_lens
from geo4d.evaluation.ground_truth import GroundTruth, read_ground_truth
from geo4d.footage import open_footage
from geo4d.geometry.camera import Intrinsics, camera_rays, pixel_grid, project
from geo4d.matchmove.camera import solve_camera
from geo4d.matchmove.solve import POSE_SOLVED, Solve
from geo4d.multiview import settling
from geo4d.multiview.depth import NEIGHBOUR_COUNT, DepthMaker, depth_size, estimate_depth
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.neighbours import choose_neighbours
from geo4d.multiview.network import WEIGHTS, LearnedDepth
from geo4d.multiview.passes import neighbours_of_pass, second_and_third
from geo4d.multiview.rounds import Round
from geo4d.multiview.working_frames import read_working_frames
from geo4d.progress import Silent
from geo4d.scene.depth_file import read_depth
from geo4d.scene.reader import read_scene
from geo4d.tracking.track import track_shot

HEADER = ["clip", "method", "AbsRel", "d<1.25", "AbsRel static", "moving", "conf>0.5", "share", "coverage"]
HEADER += ["steadiness", "IoU moving", "CPU-s/frame", "peak MiB"]
CUTS = ("all", "static", "moving", "sure")


@dataclass
class Method:
    """Depth of one clip by one method."""

    name: str
    frames: dict[int, DepthFrame]  # position in the shot to undistorted maps
    lenses: dict[int, Intrinsics]  # at footage resolution
    c2w: dict[int, np.ndarray]  # (4, 4), in the world of the maps
    cost: float | None = None  # CPU seconds a frame
    peak: float | None = None  # MiB


def true_solve(truth: GroundTruth) -> Solve:
    """The true cameras, with the scene's points taken from the true depth."""
    count = len(truth)
    K, one = truth.K, np.ones(count)
    points = []
    for i in range(0, count, 6):
        depth = truth.depth(i)
        h, w = depth.shape
        lens = Intrinsics(truth.width, truth.height, K[0, 0], K[1, 1], K[0, 2], K[1, 2], truth.k1).scaled(w, h)
        step = max(1, h // 24)
        pixels, z = pixel_grid(w, h)[::step, ::step].reshape(-1, 2), depth[::step, ::step].reshape(-1)
        local = camera_rays(pixels[z > 0], lens) * z[z > 0][:, None]
        points.append(local @ truth.c2w[i, :3, :3].T + truth.c2w[i, :3, 3])
    points = np.concatenate(points)
    return Solve(
        width=truth.width,
        height=truth.height,
        motion=truth.motion,
        c2w=truth.c2w,
        fx=one * K[0, 0],
        fy=one * K[1, 1],
        cx=one * K[0, 2],
        cy=one * K[1, 2],
        k1=truth.k1,
        pose_source=np.full(count, POSE_SOLVED, np.uint8),
        reprojection_error_px=np.zeros(count, np.float32),
        points=points,
        points_rgb=np.zeros((len(points), 3), np.uint8),
        points_error_px=np.zeros(len(points), np.float32),
    )


def measure(clip: Clip, arguments: argparse.Namespace) -> list[list]:
    """Table rows of one clip."""
    cv2.setNumThreads(2)
    truth = read_ground_truth(clip.folder)
    shot = open_footage(clip.footage, fps=None if clip.footage.endswith(".mp4") else clip.meta.get("fps"))
    positions = chosen(len(shot), arguments.row, arguments.every)
    methods = multiview(shot, truth, positions, arguments)
    for option in arguments.scenes:
        name, _, folder = option.partition("=")
        if (Path(folder) / clip.name).is_dir():
            methods.append(from_scene(name, Path(folder) / clip.name, positions))
        else:
            print(f"{name}: no scene of {clip.name} in {folder}", file=sys.stderr)
    return [[clip.name, *row] for row in table(methods, truth)]


def chosen(count: int, row: int | None, every: int) -> range:
    """Positions to measure: ``row`` in a row from a third of the shot on, or every ``every``-th."""
    if row is None:
        return range(0, count, every)
    first = max(0, min(count // 3, count - row))
    return range(first, min(count, first + row))


def table(methods: list[Method], truth: GroundTruth) -> list[list]:
    """A row a method, the first of them constant depth.

    Where the clip has no mask of what moves, the first method's own says what counts as moving, for all.
    """
    rows = []
    for method in methods:
        estimated, true, moving, sure = [], [], [], []
        both = either = 0
        for i, frame in method.frames.items():
            z = truth.depth(i)
            found, mask = filmed(frame.dynamic, method.lenses[i], z.shape) > 0.5, truth.moving(i)
            if mask is not None:
                both, either = both + int((found & mask).sum()), either + int((found | mask).sum())
            else:
                judge = methods[0]
                mask = filmed(judge.frames[i].dynamic, judge.lenses[i], z.shape) > 0.5
            known = z > 0
            estimated.append(filmed(frame.depth, method.lenses[i], z.shape)[known])
            sure.append(filmed(frame.confidence, method.lenses[i], z.shape)[known] > 0.5)
            true.append(z[known])
            moving.append(mask[known])
        estimated, true, moving, sure = (np.concatenate(v) for v in (estimated, true, moving, sure))
        overlap = both / either if either else None
        if not rows:
            constant = errors(np.full_like(true, np.median(true)), true, moving, sure)
            rows.append(["constant", *constant[:-1], None, None, 1.0, None, None, None, None])
        known = estimated > 0
        if not known.any():
            rows.append([f"none ({method.name})", *[None] * 6, 0.0, None, overlap, method.cost, method.peak])
            continue
        scaled = estimated[known] * fit_scale(estimated[known], true[known])
        figures = errors(scaled, true[known], moving[known], sure[known])
        row = [method.name, *figures, float(sure.mean()), float(known.mean()), steadiness(method), overlap]
        rows.append([*row, method.cost, method.peak])
    return rows


def filmed(values: np.ndarray, lens: Intrinsics, shape: tuple[int, int]) -> np.ndarray:
    """Undistorted maps (h, w) as filmed, at the true depth's ``shape``; 0 where the maps show nothing."""
    rows, columns, inside = filmed_to_pinhole(lens, shape[::-1], values.shape[::-1])
    return np.where(inside, values[rows, columns], 0)


def steadiness(method: Method) -> float | None:
    """Median change of log depth of static pixels carried into the next frame; None where no two are in a row."""
    steps = []
    for i, frame in method.frames.items():
        if i + 1 not in method.frames:
            continue
        after = method.frames[i + 1].depth
        h, w = after.shape
        here, there = (method.lenses[k].pinhole().scaled(w, h) for k in (i, i + 1))
        points = camera_rays(pixel_grid(w, h), here) * frame.depth[..., None]
        points = points @ method.c2w[i][:3, :3].T + method.c2w[i][:3, 3]
        xy, z = project(points, method.c2w[i + 1], there)
        u, v = ((xy[..., axis] - 0.5).astype(np.float32) for axis in (0, 1))
        seen = cv2.remap(after, u, v, cv2.INTER_LINEAR, borderValue=0)
        ok = (seen > 0) & (z > 0) & (frame.dynamic < 0.3) & (frame.depth > 0)
        if ok.any():
            steps.append(float(np.median(np.abs(np.log(seen[ok] / z[ok])))))
    return float(np.mean(steps)) if steps else None


def from_scene(name: str, folder: Path, positions: range) -> Method:
    """What an engine wrote into a scene folder, at ``positions`` that it has."""
    scene = read_scene(folder)
    place = {int(index): k for k, index in enumerate(scene.index)}
    have = [i for i in positions if i in place]
    return Method(
        name,
        {i: read_depth(scene.depth_path(place[i])) for i in have},
        {i: scene_lens(scene, place[i]) for i in have},
        {i: scene.c2w[place[i]] for i in have},
    )


def multiview(shot, truth: GroundTruth, positions: range, arguments: argparse.Namespace) -> list[Method]:
    """The untrained and the learned multi-view depth; what they share is made once."""
    tracks = track_shot(shot, Silent())
    # With the true cameras the tracks are judged by the depth stage itself; nothing is solved.
    solve = solve_camera(tracks, Silent()) if arguments.cameras == "solved" else true_solve(truth)
    size = depth_size(shot.width, shot.height)
    lenses, c2w = {i: solve.lens(i) for i in positions}, dict(enumerate(solve.c2w))
    started = cpu_seconds()
    if solve.motion != "moving":
        have = frozenset(range(len(shot))) - frozenset(positions)
        frames = dict(estimate_depth(shot, solve, tracks, size, Silent(), have))
        return [Method(solve.motion, frames, lenses, c2w, (cpu_seconds() - started) / len(frames), peak_memory_mib())]
    network = learned_weights(arguments.weights)
    maker = DepthMaker(
        read_working_frames(shot, solve, size), solve, tracks, np.asarray(shot.times, np.float64), network
    )
    single: dict[str, dict[int, DepthFrame]] = {"untrained": {}} | ({"learned": {}} if network else {})
    extra = 0.0
    for i in positions:
        composition = maker.composition(i)
        empty = np.zeros(size[::-1], np.float32)
        single["untrained"][i] = composition.frame() if composition else DepthFrame(empty, empty, empty)
        if network is not None:
            before = cpu_seconds()
            corrected = maker.corrected(i, composition) if composition else None
            single["learned"][i] = corrected or single["untrained"][i]
            extra += cpu_seconds() - before
    shared = (cpu_seconds() - started - extra) / len(positions)
    methods = []
    frames = maker.frames
    neighbours = {i: choose_neighbours(frames, i, maker.times, maker.points, NEIGHBOUR_COUNT) for i in positions}

    def finish(name: str, cost: float, way: Callable[[], dict[int, DepthFrame]]) -> None:
        before = cpu_seconds()
        finished = way()
        cost += (cpu_seconds() - before) / len(positions)
        methods.append(Method(name, finished, lenses, c2w, cost, peak_memory_mib()))

    def in_passes(first: Callable[[int], DepthFrame]) -> dict[int, DepthFrame]:
        drafts = {i: first(i) for i in positions}
        rest = second_and_third(
            frames, maker.times, drafts, {}, neighbours.__getitem__, maker.floor, positions, Silent()
        )
        return dict(rest)

    def round_of(maps: dict[int, DepthFrame]) -> Round:
        return Round(frames, maps.get, lambda i: neighbours_of_pass(neighbours[i], 0))

    # Frames that stand alone have no neighbours' maps to agree with.
    untrained = single["untrained"]
    known = {i: settling.Known(i, frame) for i, frame in untrained.items()}
    finish("untrained", shared, lambda: {i: settling.settle(i, known, frames) for i in positions})
    agreed = round_of(untrained)
    finish("untrained, agreed", shared, lambda: in_passes(agreed.frame))
    if network is not None:
        corrected = round_of(single["learned"])
        finish(
            "learned",
            shared + extra / len(positions),
            lambda: in_passes(lambda i: maker.with_agreed_motion(i, corrected.frame(i))),
        )
    return methods


def learned_weights(weights: Path | None) -> LearnedDepth | None:
    """The network to measure: of a given file, else the shipped one, else none."""
    if weights is None and not WEIGHTS.exists():
        return None
    return LearnedDepth(weights or WEIGHTS)


def errors(depth: np.ndarray, true: np.ndarray, moving: np.ndarray, sure: np.ndarray) -> list[float | None]:
    """AbsRel and delta of all pixels, then AbsRel of static, moving and confident ones."""
    sums = {cut: DepthErrors() for cut in CUTS}
    for cut, where in zip(CUTS, (np.ones_like(moving), ~moving, moving, sure), strict=True):
        sums[cut].add(depth[where], true[where])
    part = [sums[cut].abs_rel if sums[cut].pixels else None for cut in CUTS]
    return [part[0], sums["all"].delta, *part[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", help="names of clips; all with true depth by default")
    parser.add_argument("--cameras", choices=("solved", "truth"), default="solved")
    parser.add_argument("--every", type=int, default=1, help="measure every N-th frame only")
    parser.add_argument("--row", type=int, help="measure N frames in a row only")
    parser.add_argument("--weights", type=Path, help="weights of the learned depth (default: the shipped ones)")
    parser.add_argument(
        "--scenes", action="append", default=[], metavar="ENGINE=FOLDER", help="scenes FOLDER/<clip> of another engine"
    )
    arguments = parser.parse_args()
    clips = [c for c in find_clips(arguments.clips) if c.folder and (c.folder / "depth").is_dir()]
    rows = []
    # A fresh process a clip: otherwise the peak of one would be reported for the next.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for clip in clips:
            rows += pool.submit(measure, clip, arguments).result()
    print_table(HEADER, rows)


if __name__ == "__main__":
    main()
