"""Cameras on held-out tracks: the track engine's own, and rough ones as a model would deliver them, refined.

python benchmarks/matchmove.py [--clips NAME ...] [--perturb] [--pictures FOLDER]

Error in footage pixels on tracks that no adjustment saw (protocol: engine/geo4d/matchmove/held_out.py). With
``--perturb`` every solve is also shaken (0.6 degrees, 2 % of the depth, focal length 5 % off) and refined again.
Rows are printed as they are ready. "sigma" is what the solve itself says of its focal length. ``--pictures`` writes a
sheet a clip: a virtual cube on the floor in several frames, drawn with the solved cameras and lens, and the path from
above beside the truth.
"""

import argparse
from pathlib import Path

import numpy as np
from clips import cell, cpu_seconds, find_clips
from geo4d.errors import GeoError
from geo4d.evaluation.pose_metrics import compare_paths
from geo4d.footage import open_footage
from geo4d.geometry.rotation import rotations_from_vectors
from geo4d.matchmove.checked import solve_checked
from geo4d.matchmove.refinement import refine
from geo4d.matchmove.solve import Solve
from geo4d.progress import Silent
from geo4d.tracking.track import track_shot
from matchmove_pictures import draw

HEADER = ["clip", "from", "motion", "posed", "median px", "95 % px", "tracks", "moving", "focal px", "focal %"]
HEADER += ["sigma %", "ATE %", "grade", "CPU s/frame"]
WIDTHS = [19, 15, 6, 7, 9, 7, 6, 6, 9, 7, 7, 6, 5, 11]


def row(clip, start: str, solve: Solve, seconds: float) -> list:
    held, quality = solve.statistics["held_out"], solve.statistics["quality"]
    truth, focal = clip.poses(), clip.focal_px()
    moving = solve.motion == "moving" and truth is not None and len(truth) == len(solve)
    return [
        clip.name,
        start,
        solve.motion,
        f"{int((solve.pose_source != 2).sum())}/{len(solve)}",
        held["median_px"],
        held["p95_px"],
        held["tracks"],
        held["moving_tracks"],
        f"{solve.fx.min():.0f}" if np.ptp(solve.fx) < 0.5 else f"{solve.fx.min():.0f}-{solve.fx.max():.0f}",
        100 * (float(np.median(solve.fx)) / focal - 1) if focal else None,
        quality["focal_sigma_percent"],
        compare_paths(solve.c2w, truth).ate_percent if moving else None,
        quality["grade"],
        seconds / len(solve),
    ]


def shaken(solve: Solve, rng: np.random.Generator) -> Solve:
    """The solve as a model's alignment might have delivered it."""
    depth = np.median(np.linalg.norm(solve.points - solve.c2w[:, :3, 3].mean(0), axis=1))
    c2w = solve.c2w.copy()
    c2w[:, :3, :3] = c2w[:, :3, :3] @ rotations_from_vectors(np.radians(0.6) * rng.normal(size=(len(solve), 3)))
    c2w[:, :3, 3] += 0.02 * depth * rng.normal(size=(len(solve), 3)) / np.sqrt(3)
    values = {**vars(solve), "c2w": c2w, "fx": solve.fx * 1.05, "fy": solve.fy * 1.05, "k1": 0.0}
    return Solve(**values)


def print_row(values: list) -> None:
    """One line of the table, as soon as it is known."""
    cells = [f"{cell(value):<{width}}" for value, width in zip(values, WIDTHS, strict=True)]
    print("  ".join(cells).rstrip(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="*", metavar="NAME")
    parser.add_argument("--perturb", action="store_true")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    print_row(HEADER)
    for clip in find_clips(arguments.clips):
        shot = open_footage(clip.footage)
        tracks = track_shot(shot, Silent())
        begun = cpu_seconds()
        try:
            solve = solve_checked(tracks, Silent(), times=shot.times)
        except GeoError as error:
            print(f"{clip.name}: {error}")
            continue
        print_row(row(clip, "tracks", solve, cpu_seconds() - begun))
        if arguments.pictures:
            draw(clip, shot, solve, arguments.pictures)
        if arguments.perturb and solve.motion == "moving":
            begun = cpu_seconds()
            refined = refine(shaken(solve, np.random.default_rng(0)), tracks, Silent())
            print_row(row(clip, "shaken, refined", refined, cpu_seconds() - begun))


if __name__ == "__main__":
    main()
