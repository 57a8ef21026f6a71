"""Accuracy and cost of multi-view depth, untrained and learned, beside one constant depth for everything.

``python benchmarks/depth.py [CLIP ...] [--cameras solved|truth] [--every N] [--weights FILE]``: every clip with true
depth. Depth is aligned by one median
ratio a sequence and judged at all true pixels; CPU seconds count all threads.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from clips import Clip, cpu_seconds, find_clips, peak_memory_mib, print_table
from geo4d.evaluation.depth_metrics import DepthErrors, fit_scale
from geo4d.evaluation.evaluate import filmed_to_pinhole
from geo4d.evaluation.ground_truth import GroundTruth, read_ground_truth
from geo4d.footage import open_footage
from geo4d.geometry.camera import Intrinsics, camera_rays, pixel_grid
from geo4d.matchmove.camera import solve_camera
from geo4d.matchmove.solve import POSE_SOLVED, Solve
from geo4d.multiview.depth import DepthMaker, depth_size, estimate_depth
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.network import WEIGHTS, LearnedDepth
from geo4d.multiview.working_frames import read_working_frames
from geo4d.progress import Silent
from geo4d.tracking.track import track_shot

HEADER = ["clip", "method", "AbsRel", "d<1.25", "AbsRel static", "moving", "conf>0.5", "share", "IoU moving"]
HEADER += ["CPU-s/frame", "peak MiB"]
CUTS = ("all", "static", "moving", "sure")


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


def measure(clip: Clip, cameras: str, every: int, weights: Path | None) -> list[list]:
    """Table rows of one clip."""
    cv2.setNumThreads(2)
    truth = read_ground_truth(clip.folder)
    shot = open_footage(clip.footage, fps=None if clip.footage.endswith(".mp4") else clip.meta.get("fps"))
    tracks = track_shot(shot, Silent())
    # With the true cameras the tracks are judged by the depth stage itself; nothing is solved.
    solve = solve_camera(tracks, Silent()) if cameras == "solved" else true_solve(truth)
    size = depth_size(shot.width, shot.height)
    results = depth_of(shot, solve, tracks, size, range(0, len(shot), every), learned_weights(weights))
    peak = peak_memory_mib()

    rows = []
    for name, (frames, cost) in results.items():
        estimated, true, moving, sure = [], [], [], []
        both = either = 0
        for i, frame in frames:
            z = truth.depth(i)
            h, w = z.shape
            row, column, inside = filmed_to_pinhole(solve.lens(i), (w, h), size)
            mask = truth.moving(i)
            found = frame.dynamic[row, column] > 0.5
            if mask is not None:
                both += int((found & mask & inside).sum())
                either += int(((found | mask) & inside).sum())
            else:  # one judge for all methods: what the untrained one calls moving
                mask = dict(results["untrained"][0])[i].dynamic[row, column] > 0.5
            ok = inside & (z > 0)
            estimated.append(frame.depth[row, column][ok])
            true.append(z[ok])
            moving.append(mask[ok])
            sure.append((frame.confidence[row, column] > 0.5)[ok])
        estimated, true, moving, sure = (np.concatenate(v) for v in (estimated, true, moving, sure))
        overlap = both / either if either else None
        if not rows:
            constant = errors(np.full_like(true, np.median(true)), true, moving, sure)
            rows.append([clip.name, "constant", *constant[:-1], None, None, None, None, None])
        if not estimated.any():
            rows.append([clip.name, f"none ({solve.motion})", *[None] * 6, overlap, cost, peak])
            continue
        scaled = estimated * fit_scale(estimated[estimated > 0], true[estimated > 0])
        figures = errors(scaled, true, moving, sure)
        rows.append([clip.name, name, *figures, float(sure.mean()), overlap, cost, peak])
    return rows


def learned_weights(weights: Path | None) -> LearnedDepth | None:
    """The network to measure: of a given file, else the shipped one, else none."""
    if weights is None and not WEIGHTS.exists():
        return None
    return LearnedDepth(weights or WEIGHTS)


def depth_of(shot, solve, tracks, size, positions, network) -> dict[str, tuple[list, float]]:
    """(position, DepthFrame) of each method and its CPU seconds a frame; what they share is made once."""
    if solve.motion != "moving":
        have = frozenset(range(len(shot))) - frozenset(positions)
        before = cpu_seconds()
        frames = list(estimate_depth(shot, solve, tracks, size, Silent(), have))
        return {"untrained": (frames, (cpu_seconds() - before) / len(frames))}
    started = cpu_seconds()
    maker = DepthMaker(
        read_working_frames(shot, solve, size), solve, tracks, np.asarray(shot.times, np.float64), network
    )
    untrained, learned, extra = [], [], 0.0
    for i in positions:
        composition = maker.composition(i)
        empty = np.zeros(size[::-1], np.float32)
        untrained.append((i, composition.frame() if composition else DepthFrame(empty, empty, empty)))
        if network is not None:
            before = cpu_seconds()
            refined = network.refine(composition, *maker.network_tensors(i, composition)) if composition else None
            learned.append((i, refined or untrained[-1][1]))
            extra += cpu_seconds() - before
    shared = (cpu_seconds() - started - extra) / len(untrained)
    out = {"untrained": (untrained, shared)}
    if network is not None:
        out["learned"] = (learned, shared + extra / len(learned))
    return out


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
    parser.add_argument("--weights", type=Path, help="weights of the learned depth (default: the shipped ones)")
    arguments = parser.parse_args()
    clips = [c for c in find_clips(arguments.clips) if c.folder and (c.folder / "depth").is_dir()]
    rows = []
    # A fresh process a clip: otherwise the peak of one would be reported for the next.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for clip in clips:
            rows += pool.submit(measure, clip, arguments.cameras, arguments.every, arguments.weights).result()
    print_table(HEADER, rows)


if __name__ == "__main__":
    main()
