"""Cameras on held-out tracks: the track engine's own, and rough ones as a model would deliver them, refined.

python benchmarks/matchmove.py [--clips NAME ...] [--perturb] [--pictures FOLDER]

Error in footage pixels on tracks that no adjustment saw (protocol: engine/geo4d/matchmove/held_out.py). With
``--perturb`` every solve is also shaken (0.6 degrees, 2 % of the depth, focal length 5 % off) and refined again.
``--pictures`` draws the paths from above beside the truth.
"""

import argparse
from pathlib import Path

import numpy as np
from clips import cpu_seconds, find_clips, print_table
from geo4d.errors import GeoError
from geo4d.evaluation.pose_metrics import compare_paths
from geo4d.footage import open_footage
from geo4d.geometry.rotation import rotations_from_vectors
from geo4d.geometry.similarity import umeyama
from geo4d.matchmove.checked import solve_checked
from geo4d.matchmove.refinement import refine
from geo4d.matchmove.solve import Solve
from geo4d.progress import Silent
from geo4d.tracking.track import track_shot

HEADER = ["clip", "from", "motion", "posed", "median px", "95 % px", "tracks", "moving", "focal %", "ATE %", "grade"]
HEADER += ["CPU s/frame"]


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
        100 * (float(np.median(solve.fx)) / focal - 1) if focal else None,
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


def draw(clip, solve: Solve, folder: Path) -> None:
    """The path from above, over the truth where there is one, after the best similarity."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(5, 4))
    path, truth = solve.c2w[:, :3, 3], clip.poses()
    if truth is not None and len(truth) == len(solve):
        s, R, t = umeyama(path, truth[:, :3, 3])
        path = s * path @ R.T + t
        axis.plot(truth[:, 0, 3], truth[:, 2, 3], color="0.6", linewidth=4, label="truth")
    axis.plot(path[:, 0], path[:, 2], color="C3", linewidth=1.2, label="solve")
    axis.set(aspect="equal", title=clip.name, xlabel="x", ylabel="z")
    axis.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{clip.name}.png", dpi=90)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="*", metavar="NAME")
    parser.add_argument("--perturb", action="store_true")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    rows = []
    for clip in find_clips(arguments.clips):
        shot = open_footage(clip.footage)
        tracks = track_shot(shot, Silent())
        begun = cpu_seconds()
        try:
            solve = solve_checked(tracks, Silent(), times=shot.times)
        except GeoError as error:
            print(f"{clip.name}: {error}")
            continue
        rows.append(row(clip, "tracks", solve, cpu_seconds() - begun))
        if arguments.pictures and solve.motion == "moving":
            draw(clip, solve, arguments.pictures)
        if arguments.perturb and solve.motion == "moving":
            begun = cpu_seconds()
            refined = refine(shaken(solve, np.random.default_rng(0)), tracks, Silent())
            rows.append(row(clip, "shaken, refined", refined, cpu_seconds() - begun))
    print_table(HEADER, rows)


if __name__ == "__main__":
    main()
