"""COLMAP's global and incremental mappers on a database of key frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..progress import Progress
from .colmap import pycolmap
from .database import SEED
from .worker import run_cancellable

THREADS = 2


@dataclass
class Candidate:
    """One mapper's answer. ``poses`` are camera-to-world by key position; the lens is shared."""

    name: str
    poses: dict[int, np.ndarray]
    focal_px: float
    k1: float


def global_map(database: Path, folder: Path, progress: Progress, fixed_focal: bool) -> list[Candidate]:
    """GLOMAP: rotation averaging, global positioning, bundle adjustment."""
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads = THREADS
    options.random_seed = SEED
    options.image_path = folder
    m = options.mapper
    m.num_threads = THREADS
    m.random_seed = SEED
    m.rotation_averaging.random_seed = SEED
    m.global_positioning.random_seed = SEED
    m.retriangulation.random_seed = SEED
    m.global_positioning.use_gpu = False
    m.bundle_adjustment.ceres.use_gpu = False
    m.bundle_adjustment.ceres.solver_options.max_num_iterations = 40
    m.bundle_adjustment.refine_focal_length = not fixed_focal
    folder.mkdir()
    models = run_cancellable(lambda: pycolmap.global_mapping(database, folder, folder, options), progress, "map", 0, 2)
    return [as_candidate("global", r) for r in models.values()]


def incremental_map(database: Path, folder: Path, progress: Progress, fixed_focal: bool) -> list[Candidate]:
    """Incremental mapping relaxed for video: small baselines may begin it and few points may hold a frame."""
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = THREADS
    options.random_seed = SEED
    options.min_model_size = 3
    options.multiple_models = False
    options.extract_colors = False
    options.init_num_trials = 100
    options.ba_refine_focal_length = not fixed_focal
    options.ba_global_frames_ratio = 1.3
    options.ba_global_points_ratio = 1.3
    options.ba_global_max_refinements = 2
    options.ba_global_max_num_iterations = 30
    options.ba_local_max_num_iterations = 15
    m = options.mapper
    m.num_threads = THREADS
    m.random_seed = SEED
    m.init_min_tri_angle = 4.0
    m.init_min_num_inliers = 50
    m.init_max_forward_motion = 1.0
    m.abs_pose_min_num_inliers = 15
    m.abs_pose_min_inlier_ratio = 0.1
    m.filter_min_tri_angle = 0.5
    m.min_focal_length_ratio = 0.3
    m.max_focal_length_ratio = 4.0
    options.triangulation.min_angle = 0.5
    options.triangulation.ignore_two_view_tracks = True
    options.triangulation.random_seed = SEED
    token = pycolmap.CancellationToken()
    folder.mkdir()
    models = run_cancellable(
        lambda: pycolmap.incremental_mapping(database, folder, folder, options, cancellation_token=token),
        progress,
        "map",
        1,
        2,
        token.cancel,
    )
    return [as_candidate("incremental", r) for r in models.values()]


def as_candidate(name: str, model: pycolmap.Reconstruction) -> Candidate:
    camera = next(iter(model.cameras.values()))
    poses = {}
    for image_id in model.reg_image_ids():
        pose = np.eye(4)
        pose[:3] = model.image(image_id).cam_from_world().inverse().matrix()
        poses[image_id - 1] = pose
    return Candidate(name, poses, float(camera.params[0]), float(camera.params[3]))
