"""Camera accuracy on every clip: ``tracks`` against plain pycolmap mapping and Blender's libmv, in one run.

    python benchmarks/cameras.py [--clips NAME ...] [--rivals pycolmap libmv] [--blender PYTHON]

ATE is the RMSE of camera centres after a similarity, in percent of the true path; rotation the median angle
after the same alignment; focal the relative error. Seconds are processor seconds a frame, all threads.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from clips import ROOT, Clip, cpu_seconds, find_clips, peak_memory_mib, print_table
from geo4d.errors import GeoError
from geo4d.footage import open_footage
from geo4d.geometry.similarity import umeyama
from geo4d.progress import Silent

HEADER = ["clip", "method", "motion", "posed", "ATE %", "rot deg", "focal %", "reproj px", "CPU s/frame", "peak MiB"]


def solve_tracks(clip: Clip) -> dict:
    """The embedded engine: tracking and match-move."""
    from geo4d.matchmove.camera import solve_camera
    from geo4d.tracking.track import track_shot

    shot, progress = open_footage(clip.footage), Silent()
    tracks = track_shot(shot, progress)
    solve = solve_camera(tracks, progress)
    return {
        "poses": dict(enumerate(solve.c2w)),
        "measured": int((solve.pose_source != 2).sum()),
        "focal_px": float(np.median(solve.fx)),
        "error_px": float(np.nanmedian(solve.reprojection_error_px)),
        "motion": solve.motion,
    }


def solve_pycolmap(clip: Clip) -> dict:
    """pycolmap as its documentation shows it for video: SIFT, sequential matching, incremental mapping, one camera."""
    import pycolmap

    pycolmap.logging.minloglevel = 2
    pycolmap.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        images = folder / "images"
        images.mkdir()
        for position, frame in enumerate(open_footage(clip.footage).read()):
            cv2.imwrite(str(images / f"{position:04d}.png"), frame[..., ::-1])
        database = folder / "database.db"
        reader = pycolmap.ImageReaderOptions(camera_model="SIMPLE_RADIAL")
        pycolmap.extract_features(database, images, camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader)
        pycolmap.match_sequential(database)
        models = pycolmap.incremental_mapping(database, images, folder)
        if not models:
            return {"poses": {}, "measured": 0, "focal_px": None, "error_px": None, "motion": "moving"}
        best = max(models.values(), key=lambda m: m.num_reg_images())
        poses = {}
        for image in best.images.values():
            w2c = np.eye(4)
            w2c[:3] = image.cam_from_world().matrix()
            poses[int(Path(image.name).stem)] = np.linalg.inv(w2c)
        camera = next(iter(best.cameras.values()))
        return {
            "poses": poses,
            "measured": len(poses),
            "focal_px": float(camera.params[0]),
            "error_px": best.compute_mean_reprojection_error(),
            "motion": "moving",
        }


def solve_libmv(clip: Clip, blender: str) -> dict:
    """Blender's own detect, track, solve, in a bpy environment."""
    footage = Path(clip.footage)
    if footage.is_dir():
        footage = sorted(footage.iterdir())[0]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "libmv.json"
        script = ROOT / "benchmarks" / "libmv_solve.py"
        subprocess.run([blender, script, footage, target], check=True, capture_output=True, timeout=3600)
        result = json.loads(target.read_text())
    poses = {int(frame): np.array(pose) for frame, pose in result["poses"].items()}
    return {**result, "poses": poses, "measured": len(poses), "motion": "moving"}


def accuracy(clip: Clip, result: dict) -> tuple[float | None, float | None, float | None]:
    """ATE in percent of the path, median rotation error in degrees, focal error in percent; None = no truth."""
    truth, focal = clip.poses(), clip.focal_px()
    focal_error = None
    if focal and result["focal_px"]:
        focal_error = 100 * (result["focal_px"] / focal - 1)
    if truth is None or len(result["poses"]) < 3:
        return None, None, focal_error
    frames = sorted(frame for frame in result["poses"] if frame < len(truth))
    found, truth = np.stack([result["poses"][f] for f in frames]), truth[frames]
    path = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()
    ate = None
    if clip.meta.get("motion") not in ("tripod", "static") and path > 1e-6:
        scale, R, t = umeyama(found[:, :3, 3], truth[:, :3, 3])
        moved = scale * found[:, :3, 3] @ R.T + t
        ate = 100 * float(np.sqrt(((moved - truth[:, :3, 3]) ** 2).sum(1).mean())) / path
    # Aligned by the mean rotation, not by the centres: a straight path leaves the turn about it open.
    U, _, Vt = np.linalg.svd((truth[:, :3, :3] @ np.swapaxes(found[:, :3, :3], 1, 2)).sum(0))
    turn = np.swapaxes(truth[:, :3, :3], 1, 2) @ (U @ Vt @ found[:, :3, :3])
    angle = np.degrees(np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    return ate, float(np.median(angle)), focal_error


def measure(method: str, clip: Clip, blender: str) -> list:
    """One table row, measured in this process, which has done nothing before."""
    solvers = {"tracks": solve_tracks, "pycolmap": solve_pycolmap, "libmv": lambda c: solve_libmv(c, blender)}
    frames, begun = len(open_footage(clip.footage)), cpu_seconds()
    try:
        result = solvers[method](clip)
    except (GeoError, subprocess.SubprocessError, RuntimeError) as error:
        return [clip.name, method, f"failed: {str(error)[:40]}", f"0/{frames}", None, None, None, None, None, None]
    spent = (cpu_seconds() - begun) / frames
    ate, rotation, focal = accuracy(clip, result)
    posed = f"{result['measured']}/{frames}"
    return [
        clip.name,
        method,
        result["motion"],
        posed,
        ate,
        rotation,
        focal,
        result["error_px"],
        spent,
        peak_memory_mib(),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", nargs="*")
    parser.add_argument("--rivals", nargs="*", choices=("pycolmap", "libmv"), default=["pycolmap"])
    parser.add_argument("--blender", default=str(ROOT / ".venv-bpy45" / "bin" / "python"), help="Python that has bpy")
    arguments = parser.parse_args()
    rows = []
    # A fresh process a row: peak memory is a high-water mark and never comes down again.
    context = multiprocessing.get_context("spawn")
    for clip in find_clips(arguments.clips):
        for method in ("tracks", *arguments.rivals):
            with context.Pool(1) as pool:
                rows.append(pool.apply(measure, (method, clip, arguments.blender)))
            print(*rows[-1], file=sys.stderr)
    print_table(HEADER, rows)


if __name__ == "__main__":
    main()
