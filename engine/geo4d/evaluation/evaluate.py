"""A scene folder against a clip with ground truth."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import BadRequest
from ..geometry.camera import Intrinsics, pixel_grid, undistort
from ..scene.depth_file import read_depth
from ..scene.reader import Scene, SceneError, read_scene
from .depth_metrics import DepthErrors, fit_scale, fit_scale_shift
from .ground_truth import GroundTruth, read_ground_truth
from .photometric import photometric_agreement
from .pose_metrics import compare_paths, rotation_errors_deg

_FIT_PIXELS = 4_000_000  # alignment is fitted to at most about so many pixels, evenly spread
_CONFIDENT = 0.5


def evaluate_scene(scene_folder: str | Path, clip_folder: str | Path) -> dict:
    """Camera and depth errors of a scene as plain numbers, ready for JSON.

    Keys: ``scene``, ``clip``, ``frames``, ``motion``, ``true_motion``, ``camera`` (:func:`camera_errors`),
    ``depth`` (:func:`depth_errors`, None where either side has none) and ``photometric``
    (:class:`.photometric.Agreement`, None without depth or footage, or for a camera that does not travel). Raises
    BadRequest for folders that cannot be read or do not belong together.
    """
    try:
        scene = read_scene(scene_folder)
    except SceneError as error:
        raise BadRequest("scene_unreadable", str(error)) from error
    truth = read_ground_truth(clip_folder)
    _check_match(scene, truth)
    try:
        depth = depth_errors(scene, truth) if scene.has_depth and truth.has_depth else None
        agreement = photometric_agreement(scene) if scene.motion == "moving" else None
    except SceneError as error:
        raise BadRequest("scene_unreadable", str(error)) from error
    return {
        "scene": str(scene.folder),
        "clip": str(truth.folder),
        "frames": len(scene),
        "motion": scene.motion,
        "true_motion": truth.motion,
        "poses": {name: scene.pose.count(name) for name in sorted(set(scene.pose))},
        "camera": camera_errors(scene, truth),
        "depth": depth,
        "photometric": None if agreement is None else asdict(agreement),
    }


def camera_errors(scene: Scene, truth: GroundTruth) -> dict:
    """Errors of path, orientation and lens.

    ``ate_m`` (metres, after a similarity), ``ate_percent`` (of the path), ``rpe_translation_m`` and
    ``rpe_rotation_deg`` (over one frame) are None for a camera that stays in its place. ``rotation_rms_deg``
    and ``rotation_max_deg`` are after the one best rotation. ``focal_error_percent`` is the median over frames.
    """
    true_c2w = truth.c2w[scene.index]
    rotation = rotation_errors_deg(scene.c2w, true_c2w)
    focal_px = float(np.median(np.sqrt(scene.fx * scene.fy)))
    true_focal_px = float(np.sqrt(truth.K[0, 0] * truth.K[1, 1]))
    errors = {
        "ate_m": None,
        "ate_percent": None,
        "rpe_translation_m": None,
        "rpe_rotation_deg": None,
        "path_m": None,
        "rotation_rms_deg": float(np.sqrt(np.mean(rotation**2))),
        "rotation_max_deg": float(rotation.max()),
        "focal_px": focal_px,
        "true_focal_px": true_focal_px,
        "focal_error_percent": 100.0 * abs(focal_px / true_focal_px - 1.0),
        "k1": scene.k1,
        "true_k1": truth.k1,
    }
    if truth.motion == "moving" and len(scene) >= 3:
        path = compare_paths(scene.c2w, true_c2w)
        errors.update(
            ate_m=path.ate,
            ate_percent=path.ate_percent,
            rpe_translation_m=path.rpe_translation,
            rpe_rotation_deg=path.rpe_rotation_deg,
            path_m=path.path_length,
        )
    return errors


def depth_errors(scene: Scene, truth: GroundTruth) -> dict | None:
    """Errors of depth at the true map's pixels, aligned once for the sequence.

    For each of ``scale`` (median ratio), ``scale_shift`` (L1) and ``constant`` (the best single depth for
    everything, what a result without any information would score) a dictionary ``all``, ``static``, ``moving``,
    ``confident`` of :meth:`DepthErrors.as_dict`; ``coverage`` is the share of true pixels that have a depth.
    None if no frame has true depth.
    """
    total = covered = frames = 0
    sample = []
    for pair in _pairs(scene, truth):
        every = max(1, pair.true_pixels * len(scene) // _FIT_PIXELS)
        sample.append((pair.depth[::every], pair.truth[::every]))
        total, covered, frames = total + pair.true_pixels, covered + len(pair.depth), frames + 1
    if not covered:
        return None
    x, y = (np.concatenate(column) for column in zip(*sample, strict=True))
    s = fit_scale(x, y)
    fits = {"scale": (s, 0.0), "scale_shift": fit_scale_shift(x, y), "constant": (0.0, float(np.median(y)))}
    sums = {fit: {part: DepthErrors() for part in ("all", "static", "moving", "confident")} for fit in fits}
    for pair in _pairs(scene, truth):
        parts = {"all": slice(None), "confident": pair.confidence >= _CONFIDENT}
        if pair.moving is not None:
            parts.update(static=~pair.moving, moving=pair.moving)
        for fit, (scale, shift) in fits.items():
            for part, pixels in parts.items():
                sums[fit][part].add(scale * pair.depth[pixels] + shift, pair.truth[pixels])
    result = {fit: {part: e.as_dict() for part, e in parts.items() if e.pixels} for fit, parts in sums.items()}
    result.update(
        coverage=covered / total,
        frames=frames,
        fit={"scale": s, "scale_shift": list(fits["scale_shift"]), "constant_m": fits["constant"][1]},
    )
    return result


@dataclass
class _Pair:
    """Pixels of one frame that have both depths, P of ``true_pixels``."""

    depth: np.ndarray  # (P,) float32, scene units
    truth: np.ndarray  # (P,) float32, metres
    confidence: np.ndarray  # (P,) float32
    moving: np.ndarray | None  # (P,) bool
    true_pixels: int


def _pairs(scene: Scene, truth: GroundTruth) -> Iterator[_Pair]:
    for position, index in enumerate(scene.index.tolist()):
        true_depth = truth.depth(index)
        if true_depth is None:
            continue
        frame = read_depth(scene.depth_path(position))
        height, width = true_depth.shape
        rows, columns, inside = filmed_to_pinhole(scene_lens(scene, position), (width, height), frame.depth.shape[::-1])
        depth = np.where(inside, frame.depth[rows, columns], 0.0)
        known = true_depth > 0
        both = known & (depth > 0)
        moving = truth.moving(index)
        yield _Pair(
            depth=depth[both],
            truth=true_depth[both],
            confidence=frame.confidence[rows, columns][both],
            moving=None if moving is None else moving[both],
            true_pixels=int(known.sum()),
        )


def scene_lens(scene: Scene, position: int) -> Intrinsics:
    """Lens of the frame at a shot position, footage resolution."""
    fx, fy, cx, cy = (float(values[position]) for values in (scene.fx, scene.fy, scene.cx, scene.cy))
    return Intrinsics(scene.width, scene.height, fx, fy, cx, cy, scene.k1)


@lru_cache(maxsize=2)  # most shots have one lens
def filmed_to_pinhole(
    lens: Intrinsics, filmed: tuple[int, int], pinhole: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which pixel of the undistorted image (w, h) = ``pinhole`` shows what each filmed pixel (w, h) shows.

    Both images cover the footage. Returns rows and columns (h, w) int64 of the nearest pixel, clipped to the
    image, and (h, w) bool where it lies inside.
    """
    seen = lens.scaled(*filmed)
    flat = lens.pinhole().scaled(*pinhole)
    normalised = (pixel_grid(*filmed) - [seen.cx, seen.cy]) / [seen.fx, seen.fy]
    xy = undistort(normalised, lens.k1) * [flat.fx, flat.fy] + [flat.cx, flat.cy]
    columns, rows = (np.floor(xy[..., axis]).astype(np.int64) for axis in (0, 1))
    inside = (columns >= 0) & (columns < pinhole[0]) & (rows >= 0) & (rows < pinhole[1])
    return np.clip(rows, 0, pinhole[1] - 1), np.clip(columns, 0, pinhole[0] - 1), inside


def _check_match(scene: Scene, truth: GroundTruth) -> None:
    if (scene.width, scene.height) != (truth.width, truth.height):
        raise BadRequest(
            "ground_truth_mismatch",
            f"The scene is {scene.width} x {scene.height}, the ground truth {truth.width} x {truth.height}.",
            "Give the ground truth of the footage that the scene was made from.",
        )
    if scene.index.max() >= len(truth):
        raise BadRequest(
            "ground_truth_mismatch",
            f"The scene has frame {int(scene.index.max())}, the ground truth ends at {len(truth) - 1}.",
            "Give the ground truth of the footage that the scene was made from.",
        )
