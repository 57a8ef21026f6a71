"""Seconds a frame and peak memory of every stage of the ``tracks`` engine, each clip in a process of its own.

    python benchmarks/stages.py [--clips NAME ...] [--depth-size 448]

Seconds are wall and, in brackets, processor seconds of all threads. Memory is the high-water mark of the resident
size during the stage alone (reset between stages; Linux).
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from clips import cpu_seconds, find_clips, print_table
from geo4d.footage import open_footage
from geo4d.footage.cuts import detect_cuts
from geo4d.matchmove.camera import solve_camera
from geo4d.multiview.depth import depth_size, estimate_depth
from geo4d.multiview.network import shipped_network
from geo4d.progress import Silent
from geo4d.scene.depth_file import write_depth
from geo4d.tracking.track import track_shot

HEADER = ["clip", "frames", "stage", "s/frame (CPU)", "peak MiB"]


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    line = next(t for t in Path("/proc/self/status").read_text().splitlines() if t.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(footage: str, name: str, long_side: int) -> list[list]:
    rows, silent = [], Silent()
    shot = open_footage(footage)

    def stage(label: str, work):
        reset_peak()
        begun, processor = time.perf_counter(), cpu_seconds()
        result = work()
        wall, processor = time.perf_counter() - begun, cpu_seconds() - processor
        rows.append(
            [name, len(shot), label, f"{wall / len(shot):.2f} ({processor / len(shot):.2f})", f"{peak_mib():.0f}"]
        )
        return result

    stage("read", lambda: (shot.content_hash(), detect_cuts(shot, silent)))
    tracks = stage("track", lambda: track_shot(shot, silent))
    solve = stage("solve", lambda: solve_camera(tracks, silent, times=shot.times))
    size = depth_size(shot.width, shot.height, long_side)
    with tempfile.TemporaryDirectory() as folder:

        def write_all():
            kept = Path(folder) / "maps"
            made = estimate_depth(shot, solve, tracks, size, silent, network=shipped_network(), folder=kept)
            for position, frame in made:
                write_depth(Path(folder) / f"{position:04d}.exr", frame)

        stage("depth", write_all)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", nargs="*")
    parser.add_argument("--depth-size", type=int, default=448)
    arguments = parser.parse_args()
    rows = []
    context = multiprocessing.get_context("spawn")
    for clip in find_clips(arguments.clips):
        with context.Pool(1) as pool:
            rows += pool.apply(measure, (clip.footage, clip.name, arguments.depth_size))
        print(*rows[-1], file=sys.stderr)
    print_table(HEADER, rows)


if __name__ == "__main__":
    main()
