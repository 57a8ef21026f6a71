"""Both modes of alignment on recorded runs of the reference: a folder with align_*.safetensors.

A file holds the windows that the reference was given, the truth, and in its metadata the schedule and what the
reference reached. Sizes, lengths and schedules are read from the file.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from geo4d.alignment import fast, reference
from geo4d.alignment.aligned import Aligned
from geo4d.evaluation.depth_metrics import DepthErrors, fit_scale_shift
from geo4d.evaluation.pose_metrics import compare_paths
from geo4d.models.prediction import Prediction
from geo4d.progress import Silent
from safetensors import safe_open

# Two runs of the reference that differ in the number of threads alone deviate by so much (relative, with a floor for
# errors that are small against the scene).
DRIFT = 0.02
FLOOR = {"ATE": 4e-3, "RPE_trans": 4e-3, "RPE_rot_deg": 0.05, "focal": 0.05, "depth_absrel_scale_shift": 1e-3}


@dataclass
class Recorded:
    """One file: what the reference was given, the truth, and what it reached."""

    name: str
    predictions: list[Prediction]
    size: tuple[int, int]  # (w, h) of the maps, taken as the footage's
    c2w: np.ndarray  # (N, 4, 4) truth
    depth: np.ndarray  # (N, h, w) truth
    focal: float  # truth
    schedule: reference.Schedule
    reached: dict


def read(path: Path) -> Recorded:
    with safe_open(path, "np") as file:
        meta = json.loads(file.metadata()["meta"])
        data = {key: file.get_tensor(key) for key in file.keys()}
    predictions = [
        Prediction(
            positions=frames,
            width=meta["W"],
            height=meta["H"],
            points=data[f"pred{g}.pts3d"],
            points_weight=data[f"pred{g}.conf"][..., 0],
            points_z_offset=True,
            disparity=data[f"pred{g}.inverse_depthmap"][..., 0],
            c2w=data[f"pred{g}.traj"].astype(np.float64),
        )
        for g, frames in enumerate(data["groups"])
    ]
    schedule = reference.Schedule(
        meta["n_iter"], meta["depth_traj_start_iter"], meta["lr"], meta["lr_min"], tuple(meta["betas"])
    )
    truth = data["gt.c2w"].astype(np.float64), data["gt.depth"], float(data["gt.K"][0, 0])
    return Recorded(path.stem, predictions, (meta["W"], meta["H"]), *truth, schedule, meta)


def errors(found: Aligned, recorded: Recorded) -> dict:
    """The recorded run's own measures, focal length as its difference from the truth."""
    path = compare_paths(found.solve.c2w, recorded.c2w)
    estimate, truth = found.depth.astype(np.float64).ravel(), recorded.depth.astype(np.float64).ravel()
    known = (estimate > 0) & (truth > 0)
    scale, shift = fit_scale_shift(estimate[known], truth[known])
    depth = DepthErrors()
    depth.add(scale * estimate[known] + shift, truth[known])
    return {
        "ATE": path.ate,
        "RPE_trans": path.rpe_translation,
        "RPE_rot_deg": path.rpe_rotation_deg,
        "focal": abs(float(np.median(found.solve.fx)) - recorded.focal),
        "depth_absrel_scale_shift": depth.abs_rel,
        "coverage": float(known.mean()),
    }


def worse(measured: dict, reached: dict) -> list[str]:
    """Measures that exceed the recorded ones by more than the reference's own drift."""
    return [
        name for name, floor in FLOOR.items() if not measured[name] <= reached[name] + max(DRIFT * reached[name], floor)
    ]


def run(folder: Path) -> int:
    """Print a line a mode and file; the number of modes that are worse than recorded."""
    paths = sorted(folder.glob("align_*.safetensors"))
    if not paths:
        sys.exit(f"There are no align_*.safetensors in {folder}.")
    print(f"{'run':14} {'mode':10} {'ATE':>8} {'RPE t':>8} {'RPE deg':>8} {'focal':>7} {'AbsRel':>8} {'seconds':>8}")
    torch.set_num_threads(1)  # the tensors are small: more threads only wait for each other
    bad = 0
    for path in paths:
        recorded = read(path)
        reached = dict(recorded.reached, focal=abs(recorded.reached["focal"] - recorded.focal))
        print_line(recorded.name, "recorded", reached, recorded.reached["seconds"], [])
        modes = {
            "reference": lambda r: reference.align(r.predictions, len(r.c2w), r.size, Silent(), r.schedule),
            "fast": lambda r: fast.align(r.predictions, len(r.c2w), r.size, Silent()),
        }
        seconds = {}
        for mode, align in modes.items():
            begun = time.perf_counter()
            found = align(recorded)
            seconds[mode] = time.perf_counter() - begun
            measured = errors(found, recorded)
            failed = worse(measured, reached)
            bad += bool(failed)
            print_line("", mode, measured, seconds[mode], failed)
        print(f"{'':14} fast is {seconds['reference'] / seconds['fast']:.1f} times as quick as reference mode here")
    print("focal: pixels off the truth; AbsRel after scale and shift")
    return bad


def print_line(name: str, mode: str, values: dict, seconds: float, failed: list[str]) -> None:
    print(
        f"{name:14} {mode:10} {values['ATE']:8.5f} {values['RPE_trans']:8.5f} {values['RPE_rot_deg']:8.4f} "
        f"{values['focal']:7.3f} {values['depth_absrel_scale_shift']:8.5f} {seconds:8.2f}"
        + (f"   WORSE: {', '.join(failed)}" if failed else "")
    )
