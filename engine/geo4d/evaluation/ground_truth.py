"""A clip with known cameras and depth.

Layout of a clip folder::

    clip.json        fps, width, height, optional k1 (radial term of geometry.camera.Intrinsics), optional motion
    poses_c2w.txt    a line a frame: 3x4 row-major camera-to-world, OpenCV axes, metres
    intrinsics.txt   3x3 calibration matrix for footage pixels, (0, 0) the top-left corner
    depth/NNNN.png   optional, uint16 millimetres of z-depth in footage pixels (as filmed), any resolution, 0 = none
    moving/NNNN.png  optional, not 0 where something moves in the world, same size as depth
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import BadRequest

_MM_PER_M = 1000.0
_STILL = 1e-4  # of a metre: a camera whose positions spread less does not move


@dataclass
class GroundTruth:
    """Cameras of a clip's N frames, and where its depth lies."""

    folder: Path
    width: int
    height: int
    c2w: np.ndarray  # (N, 4, 4) float64, metres
    K: np.ndarray  # (3, 3) float64, footage pixels
    k1: float
    motion: str  # "moving" | "tripod" | "static"

    def __len__(self) -> int:
        return len(self.c2w)

    def depth(self, index: int) -> np.ndarray | None:
        """Z-depth (h, w) float32 in metres of footage frame ``index``, 0 = none; None without a file."""
        image = _read(self.folder / "depth" / f"{index:04d}.png")
        return None if image is None else image.astype(np.float32) / _MM_PER_M

    def moving(self, index: int) -> np.ndarray | None:
        """Mask (h, w) bool of what moves in the world; None without a file."""
        image = _read(self.folder / "moving" / f"{index:04d}.png")
        return None if image is None else image > 0

    @property
    def has_depth(self) -> bool:
        return (self.folder / "depth").is_dir()


def read_ground_truth(folder: str | Path) -> GroundTruth:
    """Read a clip folder. Raises BadRequest ``ground_truth_missing`` or ``ground_truth_broken`` naming the file."""
    folder = Path(folder)
    clip = _load(folder / "clip.json", lambda path: json.loads(path.read_text(encoding="utf-8")))
    poses = _load(folder / "poses_c2w.txt", lambda path: np.loadtxt(path, ndmin=2).reshape(-1, 3, 4))
    K = _load(folder / "intrinsics.txt", lambda path: np.loadtxt(path).reshape(3, 3))
    c2w = np.tile(np.eye(4), (len(poses), 1, 1))
    c2w[:, :3] = poses
    return GroundTruth(
        folder=folder,
        width=clip["width"],
        height=clip["height"],
        c2w=c2w,
        K=K,
        k1=float(clip.get("k1", 0.0)),
        motion=clip.get("motion") or _motion(c2w),
    )


def _motion(c2w: np.ndarray) -> str:
    if np.ptp(c2w[:, :3, 3], axis=0).max(initial=0.0) > _STILL:
        return "moving"
    return "tripod" if np.ptp(c2w[:, :3, :3], axis=0).max(initial=0.0) > _STILL else "static"


def _load(path: Path, read):
    hint = "Give a clip folder with clip.json, poses_c2w.txt and intrinsics.txt."
    if not path.is_file():
        raise BadRequest("ground_truth_missing", f"The ground truth has no {path}.", hint)
    try:
        return read(path)
    except (OSError, ValueError) as error:
        raise BadRequest("ground_truth_broken", f"The ground truth {path} cannot be read ({error}).", hint) from error


def _read(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    image = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2:
        raise BadRequest(
            "ground_truth_broken", f"The ground truth {path} is not a single-channel image.", "Copy the clip again."
        )
    return image
