"""Read a scene folder (format version 1). NumPy and the standard library alone: the add-on uses this too."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FORMAT = "geo4d-scene"
VERSION = 1
SCENE_FILE = "scene.json"


class SceneError(ValueError):
    """The folder is not a scene that this version can read; the message says what to do."""


@dataclass
class Scene:
    """A finished reconstruction on disk.

    Arrays are per frame in shot order (F frames). ``index`` is the 0-based position in the footage and also
    names the depth file. World and cameras: OpenCV axes, camera-to-world, intrinsics in footage pixels with
    (0, 0) the top-left corner. Depth maps lie in the undistorted pinhole image.
    """

    folder: Path
    width: int
    height: int
    fps: float
    index: np.ndarray  # (F,) int64
    time: np.ndarray  # (F,) float64 seconds
    c2w: np.ndarray  # (F, 4, 4) float64
    fx: np.ndarray  # (F,) float64
    fy: np.ndarray  # (F,) float64
    cx: np.ndarray  # (F,) float64
    cy: np.ndarray  # (F,) float64
    pose: list[str]  # (F,) "solved" | "resected" | "interpolated" | "held"
    reprojection_error_px: np.ndarray  # (F,) float64, NaN where unknown
    motion: str  # "moving" | "tripod" | "static"
    scale: str  # "arbitrary" | "metric"
    up: np.ndarray  # (3,) float64, against gravity, world axes
    k1: float  # radial distortion, geometry.camera.Intrinsics
    depth_width: int  # 0: no maps in this scene
    depth_height: int
    depth_measured: bool  # False for tripod and static shots: no parallax, so maps hold the moving mask alone
    footage: dict = field(default_factory=dict)
    engine: dict = field(default_factory=dict)
    model: dict = field(default_factory=dict)
    statistics: dict = field(default_factory=dict)
    warnings: list[dict] = field(default_factory=list)
    grades: list[str] = field(default_factory=list)  # (F,) "good" | "fair" | "poor", "" where not judged

    @property
    def quality(self) -> dict | None:
        """Grade of the whole shot: ``grade``, ``reason`` (empty for good) and numbers; None where not judged."""
        return self.statistics.get("quality")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def has_depth(self) -> bool:
        return self.depth_width > 0 and self.depth_measured

    def depth_path(self, frame: int) -> Path:
        """Depth EXR of the frame at shot position ``frame``."""
        return self.folder / "depth" / f"{int(self.index[frame]):04d}.exr"

    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Static cloud: xyz (P, 3) float32 world, rgb (P, 3) uint8, confidence (P,) float32."""
        with np.load(self.folder / "points.npz") as data:
            return data["xyz"], data["rgb"], data["confidence"]

    def tracks(self) -> dict[str, np.ndarray]:
        """Arrays of tracks.npz: fields of tracking.tracks.Tracks by name."""
        with np.load(self.folder / "tracks.npz") as data:
            return dict(data)


def read_scene(folder: str | Path) -> Scene:
    """Read scene.json of a finished scene folder. Raises :class:`SceneError` with one clear sentence."""
    folder = Path(folder)
    file = folder / SCENE_FILE
    if not file.is_file():
        raise SceneError(f"{folder} is not a Geo4D scene: it has no {SCENE_FILE}. Choose the folder that holds it.")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SceneError(f"{file} cannot be read ({error}). Reconstruct the shot again.") from error
    if data.get("format") != FORMAT:
        raise SceneError(f"{file} is not a Geo4D scene. Choose the folder that Geo4D wrote.")
    if data.get("version") != VERSION:
        raise SceneError(
            f"{file} has format version {data.get('version')}, this Geo4D reads version {VERSION}. "
            "Update Geo4D or reconstruct the shot again."
        )
    frames = data["frames"]
    depth = data.get("depth") or {}

    def column(name: str) -> np.ndarray:
        return np.array([f[name] for f in frames], dtype=np.float64)

    return Scene(
        folder=folder,
        width=data["footage"]["width"],
        height=data["footage"]["height"],
        fps=data["footage"]["fps"],
        index=np.array([f["index"] for f in frames], dtype=np.int64),
        time=column("time"),
        c2w=np.array([f["c2w"] for f in frames], dtype=np.float64).reshape(-1, 4, 4),
        fx=column("fx"),
        fy=column("fy"),
        cx=column("cx"),
        cy=column("cy"),
        pose=[f["pose"] for f in frames],
        reprojection_error_px=np.array(
            [np.nan if f.get("reprojection_error_px") is None else f["reprojection_error_px"] for f in frames]
        ),
        motion=data["motion"],
        scale=data["scale"],
        up=np.array(data["up"], dtype=np.float64),
        k1=data["lens"]["k1"],
        depth_width=depth.get("width", 0),
        depth_height=depth.get("height", 0),
        depth_measured=depth.get("measured", False),
        footage=data["footage"],
        engine=data["engine"],
        model=data["model"],
        statistics=data.get("statistics", {}),
        warnings=data.get("warnings", []),
        grades=[(f.get("quality") or {}).get("grade", "") for f in frames],
    )
