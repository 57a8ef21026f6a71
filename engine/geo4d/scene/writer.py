"""Write a scene folder (format version 1); the counterpart of ``reader``."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from .. import __version__
from ..footage.shot import Shot
from ..matchmove.quality import GRADES
from ..matchmove.solve import POSE_NAMES, Solve
from ..tracking.tracks import Tracks
from .checkpoint import replace_atomically, save_arrays
from .reader import FORMAT, SCENE_FILE, VERSION

# A point that the adjustment left with this error (pixels) is worth half the confidence of a perfect one.
_HALF_CONFIDENCE_PX = 1.0


@dataclasses.dataclass
class SceneInfo:
    """What the scene says of itself beyond cameras and maps."""

    model: dict  # {"name", "weights", "licence", "commercial_use"}
    depth_size: tuple[int, int]  # (w, h) of the maps, (0, 0) without
    depth_measured: bool
    cache_key: str
    footage_hash: str
    scale: str = "arbitrary"
    step: int = 1
    statistics: dict = dataclasses.field(default_factory=dict)
    warnings: list[dict] = dataclasses.field(default_factory=list)


def write_scene(folder: Path, shot: Shot, solve: Solve, tracks: Tracks, info: SceneInfo) -> None:
    """Write points.npz, tracks.npz and, last, scene.json into ``folder`` (depth files are already there)."""
    save_arrays(
        folder / "points.npz",
        xyz=solve.points.astype(np.float32),
        rgb=solve.points_rgb.astype(np.uint8),
        confidence=point_confidence(solve.points_error_px),
    )
    save_arrays(
        folder / "tracks.npz",
        track=tracks.track.astype(np.int32),
        frame=tracks.frame.astype(np.int32),
        xy=tracks.xy.astype(np.float32),
        fb_error=tracks.fb_error.astype(np.float32),
        static=tracks.static.astype(bool),
        xyz=tracks.xyz.astype(np.float64),
        error_px=tracks.error_px.astype(np.float32),
    )
    text = json.dumps(describe(shot, solve, info), indent=1, allow_nan=False)
    replace_atomically(folder / SCENE_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def update_footage_path(folder: Path, path: str) -> None:
    """Note that the same footage now lies at ``path``: it may have been moved since the scene was made."""
    file = folder / SCENE_FILE
    data = json.loads(file.read_text(encoding="utf-8"))
    if data["footage"]["path"] != path:
        data["footage"]["path"] = path
        text = json.dumps(data, indent=1, allow_nan=False)
        replace_atomically(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def point_confidence(error_px: np.ndarray) -> np.ndarray:
    """Mean reprojection errors (P,) in pixels to confidences (P,) float32 in 0..1; 0 where the error is unknown."""
    confidence = 1.0 / (1.0 + (np.asarray(error_px, dtype=np.float64) / _HALF_CONFIDENCE_PX) ** 2)
    return np.nan_to_num(confidence, nan=0.0).astype(np.float32)


def describe(shot: Shot, solve: Solve, info: SceneInfo) -> dict:
    """The content of scene.json as plain Python values."""
    width, height = info.depth_size
    frames = [
        {
            "index": int(shot.indices[i]),
            "time": float(shot.times[i]),
            "c2w": solve.c2w[i].tolist(),
            "fx": float(solve.fx[i]),
            "fy": float(solve.fy[i]),
            "cx": float(solve.cx[i]),
            "cy": float(solve.cy[i]),
            "pose": POSE_NAMES[solve.pose_source[i]],
            "reprojection_error_px": _number(solve.reprojection_error_px[i]),
            "quality": frame_quality(solve, i),
        }
        for i in range(len(solve))
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "engine": {"name": "geo4d", "version": __version__},
        "model": info.model,
        "footage": {
            "path": str(shot.path),
            "width": shot.width,
            "height": shot.height,
            "fps": float(shot.fps),
            "first": int(shot.indices[0]),
            "last": int(shot.indices[-1]),
            "step": info.step,
            "hash": info.footage_hash,
        },
        "cache_key": info.cache_key,
        "motion": solve.motion,
        "scale": info.scale,
        "up": [float(v) for v in solve.up],
        "lens": {"model": "SIMPLE_RADIAL", "k1": float(solve.k1)},
        "depth": {"width": width, "height": height, "measured": info.depth_measured} if width else None,
        "frames": frames,
        "statistics": _plain({**solve.statistics, **info.statistics}),
        "warnings": info.warnings,
    }


def frame_quality(solve: Solve, i: int) -> dict | None:
    """Grade of a frame and the numbers behind it, None where the solve was not judged."""
    if solve.quality is None:
        return None
    frame = solve.quality[i]
    return {
        "grade": GRADES[frame["grade"]],
        "static_tracks": int(frame["static_tracks"]),
        "spread": round(float(frame["spread"]), 3),
        "parallax_deg": _number(np.round(frame["parallax_deg"], 3)),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _plain(value):
    """NumPy scalars and arrays inside ``value`` as JSON values; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return _number(value) if isinstance(value, float) else value
