"""Footage in, Blender scene and pictures out: what ``make demo`` shows, in demo/.

Builds the extension, lets a Blender install it and reconstruct the sample clip through its operator with the bundled
engine, then draws what to look at: depth beside the frames, a cube on the floor, the points from aside.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from geo4d.evaluation import evaluate_scene, format_report
from geo4d.footage import open_footage
from geo4d.scene.depth_file import read_depth
from geo4d.scene.reader import read_scene

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "tests" / "data" / "clips" / "room"
DEMO = ROOT / "demo"
BLENDER = ROOT / ".venv-bpy45" / "bin" / "python"
TILE = (426, 240)


def run_blender() -> dict:
    """Build the zip and hand it to a Blender that has nothing of this environment in reach."""
    built = subprocess.run(
        [sys.executable, ROOT / "tools" / "extension.py"], stdout=subprocess.PIPE, text=True, check=True
    )
    last = built.stdout.strip().splitlines()[-1]
    archive = ROOT / last.split()[1].rstrip(",")
    print(f"demo: {last}", flush=True)
    with tempfile.TemporaryDirectory() as user:
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        environment["BLENDER_USER_RESOURCES"] = user
        script = ROOT / "tools" / "demo_blender.py"
        with open(DEMO / "blender.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [BLENDER, "-I", script, archive, CLIP / "clip.mp4", DEMO],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for line in process.stdout:
                log.write(line)
                if line.startswith("demo:"):
                    print(line, end="", flush=True)
        if process.wait():
            raise SystemExit(f"demo: Blender ended with status {process.returncode}; see {DEMO / 'blender.log'}")
    return json.loads((DEMO / "report.json").read_text(encoding="utf-8"))


def tile(image: np.ndarray, label: str) -> np.ndarray:
    """One BGR picture at contact-sheet size with a label in its corner."""
    image = cv2.resize(image, TILE, interpolation=cv2.INTER_AREA)
    cv2.putText(image, label, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, label, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def colour_depth(depth: np.ndarray, near: float, far: float) -> np.ndarray:
    """Inverse depth as colours, near bright; none is black."""
    inverse = (1 / np.maximum(depth, 1e-9) - 1 / far) / (1 / near - 1 / far)
    picture = cv2.applyColorMap((255 * np.clip(inverse, 0, 1)).astype(np.uint8), cv2.COLORMAP_TURBO)
    picture[depth <= 0] = 0
    return picture


def depth_sheet(scene, frames: list[np.ndarray], positions: list[int]) -> np.ndarray:
    """Rows of frame, depth, confidence and moving probability."""
    maps = [read_depth(scene.depth_path(p)) for p in positions]
    measured = np.concatenate([m.depth[m.depth > 0] for m in maps])
    near, far = np.percentile(measured, [2, 98])
    rows = []
    for position, frame, m in zip(positions, frames, maps, strict=True):
        grey = [cv2.cvtColor((255 * v).astype(np.uint8), cv2.COLOR_GRAY2BGR) for v in (m.confidence, m.dynamic)]
        row = [tile(frame, f"frame {scene.index[position]}"), tile(colour_depth(m.depth, near, far), "depth")]
        rows.append(np.hstack([*row, tile(grey[0], "confidence"), tile(grey[1], "moving")]))
    return np.vstack(rows)


def cube_sheet(scene, shot, start: int) -> np.ndarray:
    """The rendered cube over the plate at several frames."""
    tiles = []
    for path in sorted((DEMO / "renders").glob("cube_*.png")):
        frame = int(path.stem.removeprefix("cube_"))
        plate = shot.read_at([frame - start])[0][..., ::-1].astype(np.float32)
        cube = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32)
        alpha = cube[..., 3:] / 255  # PNG holds straight alpha
        tiles.append(tile((cube[..., :3] * alpha + plate * (1 - alpha)).astype(np.uint8), f"frame {frame}"))
    return np.vstack([np.hstack(tiles[i : i + 3]) for i in range(0, len(tiles), 3)])


def main() -> None:
    begun = time.monotonic()
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    report = run_blender()
    scene, shot = read_scene(report["scene"]), open_footage(CLIP / "clip.mp4")
    positions = np.linspace(0, len(scene) - 1, 4).round().astype(int).tolist()
    frames = [frame[..., ::-1] for frame in shot.read_at(positions)]
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, 88]
    cv2.imwrite(str(DEMO / "depth.jpg"), depth_sheet(scene, frames, positions), jpeg)
    cv2.imwrite(str(DEMO / "cube.jpg"), cube_sheet(scene, shot, report["start"]), jpeg)
    cv2.imwrite(str(DEMO / "points.jpg"), cv2.imread(str(DEMO / "renders" / "points.png")), jpeg)
    print(format_report(evaluate_scene(report["scene"], CLIP)))
    for name, seconds in report["seconds"].items():
        print(f"demo: {name} took {seconds:.0f} s")
    print(f"demo: {time.monotonic() - begun:.0f} s in all. Look at:")
    for name in ("cube.jpg", "depth.jpg", "points.jpg", "room.blend", "room.usdc"):
        print(f"  demo/{name}")


if __name__ == "__main__":
    main()
