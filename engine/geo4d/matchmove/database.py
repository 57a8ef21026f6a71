"""A COLMAP database of the key frames: tracks as key points, shared tracks as matches, epipolar inliers kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..progress import Progress
from .colmap import pycolmap
from .observations import Observations

GAPS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)  # in key frames
MIN_SHARED = 30  # tracks that two key frames must share to be a pair
SEED = 1


def new_camera(width: int, height: int, focal_px: float, known: bool, k1: float = 0.0) -> pycolmap.Camera:
    """SIMPLE_RADIAL camera with its principal point at the image centre."""
    camera = pycolmap.Camera(
        model="SIMPLE_RADIAL", width=width, height=height, params=[focal_px, width / 2, height / 2, k1], camera_id=1
    )
    camera.has_prior_focal_length = known
    return camera


def key_pairs(observations: Observations, keys: np.ndarray) -> list["Pair"]:
    """Pairs of key frames at growing gaps that share enough tracks."""
    pairs = []
    for gap in GAPS:
        for i in range(len(keys) - gap):
            a, b = observations.shared(int(keys[i]), int(keys[i + gap]))
            if len(a) >= MIN_SHARED:
                pairs.append(Pair(i, i + gap, a, b))
    return pairs


def epipolar_options(threshold_px: float) -> pycolmap.TwoViewGeometryOptions:
    """RANSAC settings for pairs of a video: no watermark tests, fixed seed."""
    options = pycolmap.TwoViewGeometryOptions()
    options.detect_watermark = False
    options.min_num_inliers = MIN_SHARED // 2
    options.ransac.max_error = threshold_px
    options.ransac.random_seed = SEED
    options.ransac.max_num_trials = 1000
    options.ransac.confidence = 0.999
    return options


@dataclass
class Pair:
    """Two key frames, positions ``i`` < ``j`` among the key frames, and the rows of the tracks they share."""

    i: int
    j: int
    a: np.ndarray
    b: np.ndarray


def epipolar_survey(
    observations: Observations, pairs: list[Pair], threshold_px: float, progress: Progress, most: int = 80
) -> list[tuple[Pair, np.ndarray | None, int]]:
    """Fundamental matrices of the widest pairs, at most ``most``: (pair, F or None where it is degenerate, inliers).

    The widest pair of every key frame comes first; parallax and lens show there.
    """
    widest = {}
    for pair in pairs:
        if pair.i not in widest or pair.j > widest[pair.i].j:
            widest[pair.i] = pair
    chosen = list(widest.values())
    others = [p for p in pairs if p.j - p.i >= 3 and widest[p.i] is not p]
    step = max(1, len(others) // max(1, most - len(chosen)))
    chosen = (chosen + others[::step])[:most]
    tracks = observations.tracks
    camera = new_camera(tracks.width, tracks.height, max(tracks.width, tracks.height), False)
    options = epipolar_options(threshold_px)
    found = []
    for done, pair in enumerate(chosen):
        geometry = two_view(tracks, camera, pair, options)
        plain = geometry.config == int(pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED)
        found.append((pair, np.array(geometry.F) if plain else None, len(geometry.inlier_matches)))
        progress.advance("survey", done + 1, len(chosen))
    return found


def two_view(tracks, camera, pair: Pair, options) -> pycolmap.TwoViewGeometry:
    return pycolmap.estimate_two_view_geometry(
        camera,
        tracks.xy[pair.a].astype(np.float64),
        camera,
        tracks.xy[pair.b].astype(np.float64),
        np.column_stack([np.arange(len(pair.a))] * 2).astype(np.uint32),
        options,
    )


def write_database(
    path: Path,
    observations: Observations,
    keys: np.ndarray,
    camera: pycolmap.Camera,
    pairs: list[Pair],
    threshold_px: float,
    progress: Progress,
) -> np.ndarray:
    """Write camera, images (id = key position + 1), key points, and the epipolar inliers of every pair.

    Returns
    -------
    (N,) float32 share of the pairs in which each track was an epipolar inlier, NaN where it was in none: low
    for what moves by itself.
    """
    tracks = observations.tracks
    votes = np.zeros((2, len(tracks)))
    local = np.full(len(tracks.track), -1, dtype=np.int64)  # row -> key point index in its image
    options = epipolar_options(threshold_px)
    with pycolmap.Database.open(path) as database, pycolmap.DatabaseTransaction(database):
        database.write_camera(camera, use_camera_id=True)
        rig = pycolmap.Rig()
        rig.rig_id = 1
        rig.add_ref_sensor(camera.sensor_id)
        database.write_rig(rig, use_rig_id=True)
        for k, frame in enumerate(keys):
            image = pycolmap.Image(name=f"{int(frame):06d}", camera_id=1, image_id=k + 1)
            database.write_image(image, use_image_id=True)
            entry = pycolmap.Frame()
            entry.frame_id = k + 1
            entry.rig_id = 1
            entry.add_data_id(image.data_id)
            database.write_frame(entry, use_frame_id=True)
            rows = observations.rows(int(frame))
            local[rows] = np.arange(len(rows))
            database.write_keypoints(k + 1, tracks.xy[rows].astype(np.float32))
        for done, pair in enumerate(pairs):
            geometry = two_view(tracks, camera, pair, options)
            inliers = np.asarray(geometry.inlier_matches, dtype=np.int64).reshape(-1, 2)[:, 0]
            votes[1, tracks.track[pair.a]] += 1
            votes[0, tracks.track[pair.a[inliers]]] += 1
            if len(inliers) >= options.min_num_inliers:
                m = np.column_stack([local[pair.a[inliers]], local[pair.b[inliers]]]).astype(np.uint32)
                database.write_matches(pair.i + 1, pair.j + 1, m)
                geometry.inlier_matches = m
                database.write_two_view_geometry(pair.i + 1, pair.j + 1, geometry)
            progress.advance("pairs", done + 1, len(pairs))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (votes[0] / votes[1]).astype(np.float32)
