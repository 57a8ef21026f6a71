"""Which clips the benchmarks run on, and one table printer for all of them."""

import json
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "tests" / "data" / "clips"
# Real footage with ground truth is not ours to ship; it is measured where present.
REAL = Path(os.environ.get("GEO4D_CLIPS", ROOT.parent / "shared" / "clips"))


@dataclass
class Clip:
    """One clip: what to open, and its ground truth where there is one."""

    name: str
    footage: str
    folder: Path | None  # clip.json, poses_c2w.txt, intrinsics.txt, depth/; None without ground truth

    @property
    def meta(self) -> dict:
        return json.loads((self.folder / "clip.json").read_text()) if self.folder else {}

    def poses(self) -> np.ndarray | None:
        """Camera-to-world (F, 4, 4), OpenCV axes, metres."""
        if self.folder is None or not (self.folder / "poses_c2w.txt").exists():
            return None
        rows = np.loadtxt(self.folder / "poses_c2w.txt").reshape(-1, 3, 4)
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, :3] = rows
        return poses

    def focal_px(self) -> float | None:
        if self.folder is None or not (self.folder / "intrinsics.txt").exists():
            return None
        return float(np.loadtxt(self.folder / "intrinsics.txt")[0, 0])


def find_clips(names: list[str] | None = None) -> list[Clip]:
    """Sample clips, then the real ones; ``names`` selects. Says what is not there."""
    clips = []
    for root in (SAMPLES, REAL):
        if not root.is_dir():
            print(f"{root} is not there: its clips are left out", file=sys.stderr)
            continue
        for path in sorted(root.iterdir()):
            if path.is_dir() and (path / "clip.mp4").exists():
                clips.append(Clip(path.name, str(path / "clip.mp4"), path))
            elif path.is_dir() and (path / "rgb").is_dir():
                # Two roots may both have a clip of one name: the real one says so.
                clips.append(Clip(f"real-{path.name}", str(path / "rgb"), path))
            elif path.suffix == ".mp4":
                clips.append(Clip(f"real-{path.stem}", str(path), None))
    if names:
        clips = [clip for clip in clips if clip.name in names]
    return clips


def print_table(header: list[str], rows: list[list]) -> None:
    """Rows of strings and numbers as an aligned table; None prints as a dash."""
    text = [header] + [[cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in text) for i in range(len(header))]
    for number, row in enumerate(text):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)
        if number == 0:
            print("  ".join("-" * width for width in widths))


def cell(value) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def cpu_seconds() -> float:
    """Processor seconds of this process and its finished children, all threads."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_memory_mib() -> float:
    """Largest resident size so far of this process or any finished child."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return max(usage.ru_maxrss for usage in usages) / 1024
