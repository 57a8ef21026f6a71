"""Poses for the frames that the mappers did not place: resection from known points, then interpolation."""

import numpy as np

from ..geometry.camera import Intrinsics
from ..geometry.rotation import quaternions, rotation_matrices, slerp
from .colmap import pycolmap
from .database import SEED, new_camera
from .solve import POSE_INTERPOLATED

MIN_POINTS = 12


def resect(points: np.ndarray, xy: np.ndarray, lens: Intrinsics, max_error_px: float) -> tuple[np.ndarray, int] | None:
    """Camera-to-world pose (4, 4) from points (K, 3) seen at xy (K, 2), and its inlier count; None if there is none."""
    if len(points) < MIN_POINTS:
        return None
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error = max_error_px
    options.ransac.random_seed = SEED
    options.ransac.max_num_trials = 2000
    camera = new_camera(lens.width, lens.height, lens.fx, True, lens.k1)
    refinement = pycolmap.AbsolutePoseRefinementOptions()
    refinement.refine_focal_length = False
    refinement.refine_extra_params = False
    found = pycolmap.estimate_and_refine_absolute_pose(xy.astype(np.float64), points, camera, options, refinement)
    if found is None or found["num_inliers"] < MIN_POINTS:
        return None
    pose = np.eye(4)
    pose[:3] = found["cam_from_world"].inverse().matrix()
    return pose, int(found["num_inliers"])


def fill_gaps(c2w: np.ndarray, source: np.ndarray, times: np.ndarray) -> None:
    """Interpolate in place the poses that are NaN (slerp and straight line; held at the ends); marks ``source``."""
    known = np.flatnonzero(np.isfinite(c2w[:, 0, 0]))
    for f in np.flatnonzero(~np.isfinite(c2w[:, 0, 0])):
        after = np.searchsorted(known, f)
        a, b = known[max(after - 1, 0)], known[min(after, len(known) - 1)]
        t = 0.0 if a == b else (times[f] - times[a]) / (times[b] - times[a])
        q = quaternions(c2w[[a, b], :3, :3])
        pose = np.eye(4)
        pose[:3, :3] = rotation_matrices(slerp(q[0], q[1], t))[0]
        pose[:3, 3] = (1 - t) * c2w[a, :3, 3] + t * c2w[b, :3, 3]
        c2w[f] = pose
        source[f] = POSE_INTERPOLATED
