"""What a window says about shape and cameras, brought to one form whichever modalities it holds."""

from dataclasses import dataclass, fields, replace

import numpy as np

from ..geometry.camera import invert_pose
from ..geometry.ray_map import cameras_from_rays
from ..models.prediction import Prediction

# The largest weight of a pixel, in units of the window's median: a network's sureness is no proof.
_MOST = 4.0
_MOVING = 0.9  # share of a pixel's weight that it loses where the model is sure that it moves
_FOCAL_RANGE = (0.1, 20.0)  # over the longer side
_FINITE = 1e12  # what is larger overflows when it is squared, and is no number of use
_FARTHEST = 1e4  # times the nearest tenth of a window: sky
_TRUSTED_DISPARITY = 0.05  # below, it says no more than far away


@dataclass
class WindowMaps:
    """P pixels of each of a window's T frames. What is not there is None; nothing is NaN."""

    points: np.ndarray | None  # (T, P, 3) float32 in the window's axes, up to one similarity
    weight: np.ndarray  # (T, P) float32, 0 = invalid, about 1 for a pixel of usual sureness
    disparity: np.ndarray | None  # (T, P) float32 up to scale and shift; 0 = invalid
    dynamic: np.ndarray | None  # (T, P) float32


@dataclass
class WindowCameras:
    """Cameras that a window brings itself."""

    c2w: np.ndarray | None  # (T, 4, 4) float64 in the window's axes
    same_scale: bool  # as the window's points
    focal_ratio: float | None  # focal length over the longer side of the footage
    focal_ratios: np.ndarray | None = None  # (T,) of each frame, where the lens may zoom and is predicted
    lens_assumed: bool = False  # depth becomes points, but nothing is predicted of the lens


@dataclass(frozen=True)
class Picture:
    """The footage's size in square pixels. Image positions are in units of its longer side, from its centre."""

    width: int
    height: int

    @property
    def longer(self) -> int:
        return max(self.width, self.height)

    def positions(self, rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> np.ndarray:
        """(P, 2) float32 of pixels of a map of ``height`` x ``width`` that covers the picture."""
        x = ((columns + 0.5) / width - 0.5) * (self.width / self.longer)
        y = ((rows + 0.5) / height - 0.5) * (self.height / self.longer)
        return np.stack([x, y], axis=-1).astype(np.float32)


def within(prediction: Prediction, frame_count: int) -> Prediction:
    """The prediction without frames beyond the shot's ``frame_count``."""
    positions = np.asarray(prediction.positions, dtype=np.int64)
    inside = (positions >= 0) & (positions < frame_count)
    if inside.all():
        return prediction
    maps = {field.name: getattr(prediction, field.name) for field in fields(prediction)}
    return replace(prediction, **{name: v[inside] for name, v in maps.items() if isinstance(v, np.ndarray)})


def window_cameras(prediction: Prediction, picture: Picture, zoom: bool = False) -> WindowCameras:
    """Cameras from poses where these are predicted, else from ray maps; one lens a window but for a ``zoom``."""
    c2w, ratio, ratios = prediction.c2w, None, None
    if prediction.fx is not None:
        unit = picture.width / prediction.width / picture.longer
        ratio = _median(prediction.fx) * unit
        if zoom and np.isfinite(prediction.fx).all() and (prediction.fx > 0).all():
            ratios = np.clip(np.asarray(prediction.fx, dtype=np.float64) * unit, *_FOCAL_RANGE)
    rays = prediction.ray_direction
    if rays is not None:
        if c2w is None and prediction.ray_moment is not None:
            c2w = _finite_poses(rays, prediction.ray_moment)
        if ratio is None:
            ratio = _focal_of_rays(rays[0], picture)
    if c2w is not None and not (np.abs(c2w) < _FINITE).all():
        c2w = None
    if ratio is not None and not (np.isfinite(ratio) and _FOCAL_RANGE[0] < ratio < _FOCAL_RANGE[1]):
        ratio = ratios = None
    c2w = None if c2w is None else np.asarray(c2w, dtype=np.float64)
    return WindowCameras(c2w, prediction.depth is not None, ratio, ratios, prediction.points is None and ratio is None)


def window_maps(
    prediction: Prediction,
    picture: Picture,
    cameras: WindowCameras,
    focal_ratio: float | None,
    pick: tuple[np.ndarray, np.ndarray] | None = None,
) -> WindowMaps:
    """The window's maps at the pixels ``pick`` = (rows, columns), or at all in reading order.

    Depth becomes points with the window's own cameras, and with ``focal_ratio`` where that is known, else with the
    predicted lens.
    """
    frames, height, width = len(prediction), prediction.height, prediction.width

    def take(maps: np.ndarray) -> np.ndarray:
        if pick is None:
            return maps.reshape(frames, maps.shape[1] * maps.shape[2], *maps.shape[3:])
        rows = pick[0] * maps.shape[1] // height
        columns = pick[1] * maps.shape[2] // width
        return maps[:, rows, columns]

    disparity = None
    if prediction.disparity is not None:
        disparity = take(prediction.disparity)
        trusted = (disparity < _FINITE) & (disparity > _TRUSTED_DISPARITY)
        disparity = np.where(trusted, disparity, np.float32(0.0))
    points, weight = None, np.zeros((frames, 1), dtype=np.float32)
    if prediction.points is not None:
        points = take(prediction.points)
        weight = (np.abs(points) < _FINITE).all(axis=-1).astype(np.float32)
        weight *= _near_enough(np.where(weight > 0, np.abs(points).max(axis=-1), np.float32(0.0)))
        sureness = prediction.points_weight if prediction.points_weight is not None else prediction.confidence
    else:
        depth, sureness = _depth(prediction, disparity, take), prediction.confidence
        if depth is not None and cameras.c2w is not None:
            rows, columns = pick if pick is not None else (x.ravel() for x in np.indices((height, width)))
            ratio = focal_ratio or cameras.focal_ratio or 1.0
            if not focal_ratio and cameras.focal_ratios is not None:
                ratio = cameras.focal_ratios[:, None, None]
            xy = picture.positions(rows, columns, height, width) / np.asarray(ratio, dtype=np.float32)
            rays = np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)
            weight = ((depth < _FINITE) & (depth > 0)).astype(np.float32)
            weight *= _near_enough(np.where(weight > 0, depth, np.float32(0.0)))
            depth = np.where(weight > 0, depth, np.float32(1.0))
            c2w = cameras.c2w.astype(np.float32)
            points = (depth[..., None] * rays) @ c2w[:, :3, :3].transpose(0, 2, 1) + c2w[:, None, :3, 3]
    if points is None:
        return WindowMaps(None, weight, disparity, None)
    if sureness is not None:
        weight *= _relative(take(sureness))
    dynamic = None
    if prediction.dynamic is not None:
        dynamic = np.clip(np.nan_to_num(take(prediction.dynamic), nan=0.0), 0.0, 1.0)
        weight *= 1.0 - _MOVING * dynamic
    points = np.where(weight[..., None] > 0, points, np.float32(0.0))
    return WindowMaps(points.astype(np.float32, copy=False), weight, disparity, dynamic)


def relative_poses(c2w: np.ndarray, reference: int = 0) -> np.ndarray:
    """Poses (T, 4, 4) in the axes of the camera ``reference``."""
    return invert_pose(c2w[reference]) @ c2w


def _depth(prediction: Prediction, disparity: np.ndarray | None, take) -> np.ndarray | None:
    """Depth (T, P) from depth maps, else the shape of a disparity whose shift is unknown, at a nominal depth."""
    if prediction.depth is not None:
        return take(prediction.depth)
    if disparity is None:
        return None
    known = disparity > 0
    scale = np.percentile(disparity[known], 90) if known.any() else 1.0
    return np.where(known, scale / np.maximum(disparity, 1e-6), np.float32(0.0))


def _near_enough(distance: np.ndarray) -> np.ndarray:
    """Which distances (T, P), 0 = none, are not thousands of times farther than the nearest tenth: sky, to networks."""
    some = distance[distance > 0]
    if not len(some):
        return distance > 0
    return distance < _FARTHEST * np.percentile(some[:: max(1, len(some) // 100_000)], 10)


def _relative(sureness: np.ndarray) -> np.ndarray:
    """Any positive sureness as weights of about 1."""
    sureness = np.nan_to_num(sureness.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    some = sureness[sureness > 0]
    if not len(some):
        return np.zeros_like(sureness)
    step = max(1, len(some) // 100_000)
    return np.clip(sureness / np.float32(np.median(some[::step])), 0.0, _MOST)


def _focal_of_rays(direction: np.ndarray, picture: Picture) -> float:
    """Focal ratio that the ray directions (h, w, 3) of the window's first camera stand for."""
    height, width = direction.shape[:2]
    rows, columns = (x.ravel() for x in np.indices((height, width)))
    xy = picture.positions(rows, columns, height, width)
    d = direction.reshape(-1, 3)
    forward = (d[:, 2] > 0.05) & (np.abs(d) < _FINITE).all(1)
    slope = d[forward, :2] / d[forward, 2:]
    far = np.abs(xy[forward]) > 0.1
    return _median(xy[forward][far] / slope[far]) if far.any() else np.nan


def _finite_poses(direction: np.ndarray, moment: np.ndarray) -> np.ndarray | None:
    if not ((np.abs(direction) < _FINITE).all() and (np.abs(moment) < _FINITE).all()):
        return None
    return cameras_from_rays(direction, moment)


def _median(values: np.ndarray) -> float:
    values = np.asarray(values)[np.isfinite(values)]
    return float(np.median(values)) if len(values) else np.nan
