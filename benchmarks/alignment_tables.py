"""Accuracy, processor seconds and memory of alignment on windows simulated from truth, for 24 to 500 frames.

The windows have the errors of tests/engine/alignment/simulated_windows.py: slow warps of depth, drifting scale,
trembling cameras, noise, 30 % outliers, a scale of their own and an unknown offset of z in each window.
"""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from clips import ROOT, cpu_seconds, find_clips, print_table

sys.path.insert(0, str(ROOT / "tests" / "engine" / "alignment"))

from geo4d.alignment import fast
from geo4d.evaluation.depth_metrics import DepthErrors, fit_scale, fit_scale_shift
from geo4d.evaluation.ground_truth import read_ground_truth
from geo4d.evaluation.pose_metrics import compare_paths, rotation_errors_deg
from geo4d.geometry.camera import Intrinsics
from geo4d.progress import Silent
from hall import hall_shot
from simulated_windows import SimulatedWindows, Truth

LONGER = 160  # pixels of the maps simulated from clips
HALL_SIZE = (128, 80)
HALL_FRAMES = (24, 60, 125, 250, 500)
SMALL = (64, 40)  # maps for runs with reference mode, which needs a minute for 24 frames of them
SMALL_FRAMES = 24
BACK_FRAMES = 250
MEASURES = ("ate", "rpe_t", "rpe_deg", "rot", "focal", "abs_rel", "abs_rel_shift")
HEADER = ["windows from", "frames", "mode", "motion", "ATE %", "RPE t %", "RPE deg", "rot deg", "focal %"]
HEADER += ["AbsRel", "AbsRel s+t", "CPU s", "ms/frame", "peak MiB"]


@dataclass
class Case:
    """One row's input; made in the process that measures it."""

    name: str
    truth: Callable[[], Truth]
    size: tuple[int, int]
    mode: str = "fast"
    seed: int = 0


def beside_reference(name: str, truth: Callable[[], Truth], seeds: int) -> list[Case]:
    return [Case(name, truth, SMALL, mode, seed) for seed in range(seeds) for mode in ("fast", "reference")]


def cases(names: list[str] | None, seeds: int) -> list[Case]:
    found = []
    for clip in find_clips(names):
        if clip.folder is None or not (clip.folder / "depth").is_dir():
            continue
        truth = read_ground_truth(clip.folder)
        scale = LONGER / max(truth.width, truth.height)
        size = (round(truth.width * scale), round(truth.height * scale))
        found.append(Case(clip.name, lambda folder=clip.folder: clip_truth(folder), size))
        found += beside_reference(clip.name, lambda folder=clip.folder: clip_truth(folder, SMALL_FRAMES), seeds)
    if names is None or "hall-back" in names:
        found.append(Case("hall-back", lambda: hall_truth("hall-back", BACK_FRAMES, HALL_SIZE), HALL_SIZE))
    if names is None or "hall" in names:
        for frames in HALL_FRAMES:
            found.append(Case("hall", lambda frames=frames: hall_truth("hall", frames, HALL_SIZE), HALL_SIZE))
        found += beside_reference("hall", lambda: hall_truth("hall", SMALL_FRAMES, SMALL), seeds)
    return found


def hall_truth(name: str, frames: int, size: tuple[int, int]) -> Truth:
    return hall_shot(frames, size, back=name == "hall-back")


def clip_truth(folder: Path, most: int | None = None) -> Truth:
    """A clip folder's truth, its first ``most`` frames."""
    truth = read_ground_truth(folder)
    K = truth.K
    lens = Intrinsics(truth.width, truth.height, K[0, 0], K[1, 1], K[0, 2], K[1, 2], truth.k1)
    depth = lru_cache(64)(lambda frame: truth.depth(int(frame)))
    c2w = truth.c2w[:most]
    return Truth(c2w, [lens] * len(c2w), depth)


def run(names: list[str] | None, seeds: int, plots: Path | None) -> None:
    """Print the table; ``seeds`` errors of each short run beside reference mode, 0 = without it."""
    rows, cost, pairs = [], [], {}
    for case in cases(names, seeds):
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # a process of its own, so that its peak is its own
            values = pool.apply(measure, (case.name, case.size, case.mode, *_recipe(case), case.seed))
        path = values.pop("path")
        if case.size == SMALL:
            pairs.setdefault((case.name, case.seed), {})[case.mode] = values
        elif case.name == "hall":
            cost.append((values["frames"], values["seconds"], values["peak"]))
        if plots is not None and case.mode == "fast":
            plot(plots / f"{case.name}-{values['frames']}.png", case.name, *path)
        rows.append([case.name, *values.values()])
        print(f"{case.name}: {values}", file=sys.stderr, flush=True)
    print_table(HEADER, rows)
    print("ATE, RPE t: percent of the path; rot: RMS after the best rotation; AbsRel after scale, and scale and shift")
    for (name, seed), both in pairs.items():
        worse = [m for m in MEASURES if both["fast"][m] is not None and both["fast"][m] > both["reference"][m]]
        ratio = both["reference"]["seconds"] / both["fast"]["seconds"]
        print(f"{name}, errors {seed}: fast mode takes 1/{ratio:.0f}, worse in: {', '.join(worse) or 'nothing'}")
    if plots is not None and cost:
        plot_cost(plots / "cost.png", *np.array(sorted(cost)).T)


def _recipe(case: Case) -> tuple:
    """What a spawned process needs to make the truth again."""
    frames = len(case.truth())
    if case.name.startswith("hall"):
        return None, frames
    folder = next(clip.folder for clip in find_clips([case.name]))
    return str(folder), frames


def measure(name: str, size: tuple[int, int], mode: str, folder: str | None, frames: int, seed: int) -> dict:
    """One row: errors, seconds less what making the windows took, peak memory."""
    truth = hall_truth(name, frames, size) if folder is None else clip_truth(Path(folder), frames)
    windows = Timed(SimulatedWindows(truth, size, seed=seed))
    begun = cpu_seconds()
    if mode == "reference":
        from geo4d.alignment import reference

        aligned = reference.align(list(windows), frames, truth.footage_size, Silent())
    else:
        aligned = fast.align(windows, frames, truth.footage_size, Silent())
    seconds = cpu_seconds() - begun - windows.seconds
    true_fx = np.array([lens.fx for lens in truth.lenses])
    moves = np.ptp(truth.c2w[:, :3, 3], axis=0).max() > 1e-4
    path = compare_paths(aligned.solve.c2w, truth.c2w) if moves else None
    rotation = rotation_errors_deg(aligned.solve.c2w, truth.c2w)
    scale_only, both = depth_errors(aligned, truth)
    return {
        "frames": frames,
        "mode": mode,
        "motion": aligned.solve.motion,
        "ate": path and path.ate_percent,
        "rpe_t": path and 100 * path.rpe_translation / path.path_length,
        "rpe_deg": path and path.rpe_rotation_deg,
        "rot": float(np.sqrt(np.mean(rotation**2))),
        "focal": 100 * float(np.median(np.abs(aligned.solve.fx / true_fx - 1))),
        "abs_rel": scale_only,
        "abs_rel_shift": both,
        "seconds": seconds,
        "ms": 1000 * seconds / frames,
        "peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "path": (aligned.solve.c2w[:, :3, 3], truth.c2w[:, :3, 3]),
    }


class Timed:
    """Windows, and the processor seconds that making them took."""

    def __init__(self, windows: SimulatedWindows):
        self.windows, self.seconds = windows, 0.0

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, number: int):
        begun = time.process_time()
        try:
            return self.windows[number]
        finally:
            self.seconds += time.process_time() - begun


def depth_errors(aligned, truth: Truth) -> tuple[float, float]:
    """AbsRel after one scale, and after one scale and shift, over some forty frames."""
    estimate, true = [], []
    for frame in range(0, len(truth), max(1, len(truth) // 40)):
        x = aligned.frame(frame).depth
        y = cv2.resize(truth.depth(frame), x.shape[::-1], interpolation=cv2.INTER_NEAREST)
        estimate.append(x[(x > 0) & (y > 0)])
        true.append(y[(x > 0) & (y > 0)])
    x, y = np.concatenate(estimate), np.concatenate(true)
    plain, shifted = DepthErrors(), DepthErrors()
    plain.add(fit_scale(x, y) * x, y)
    scale, shift = fit_scale_shift(x, y)
    shifted.add(scale * x + shift, y)
    return plain.abs_rel, shifted.abs_rel


def plot_cost(file: Path, frames: np.ndarray, seconds: np.ndarray, peak: np.ndarray) -> None:
    """Processor seconds and peak memory of fast mode against the number of frames."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4))
    for axis, values, name in ((axes[0], seconds, "processor seconds"), (axes[1], peak, "peak memory, MiB")):
        axis.plot(frames, values, "C0o-")
        axis.set(xlabel="frames", ylabel=name, xlim=(0, None), ylim=(0, None))
        axis.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=80, bbox_inches="tight")
    pyplot.close(figure)


def plot(file: Path, title: str, estimate: np.ndarray, truth: np.ndarray) -> None:
    """The aligned path over the true one, seen along the axis in which it spreads least."""
    from geo4d.geometry.similarity import umeyama
    from matplotlib import pyplot

    s, R, t = umeyama(estimate, truth)
    estimate = s * estimate @ R.T + t
    a, b = sorted(np.argsort(-np.ptp(truth, axis=0))[:2])
    figure, axes = pyplot.subplots(figsize=(6, 6))
    axes.plot(truth[:, a], truth[:, b], "k-", lw=3, alpha=0.3, label="truth")
    axes.plot(estimate[:, a], estimate[:, b], "C3-", lw=1, label="fast alignment")
    axes.set(aspect="equal", title=f"{title}, {len(truth)} frames", xlabel="xyz"[a] + " m", ylabel="xyz"[b] + " m")
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=80, bbox_inches="tight")
    pyplot.close(figure)
