"""Pose (and, where unknown, focal length) of a camera from world points seen at known pixels."""

import cv2
import numpy as np

from .camera import invert_pose

_STEPS = 10
_INLIER_PX = 5.0
_MIN_POINTS = 6
_SEARCH = 63  # focal lengths tried without a guess
_STEP_SHARE = 0.03  # of the longer side, between the focal lengths tried around a guess


def camera_from_points(
    points: np.ndarray, mask: np.ndarray, focal_px: float | None = None
) -> tuple[float, np.ndarray] | None:
    """Focal length in pixels and camera-to-world pose (4, 4) of the camera that sees a world point map (H, W, 3).

    The principal point is the image centre (W/2, H/2) and a pixel's position its integer index, as in the
    reference. With ``focal_px`` only that value and its neighbours 3 % of the longer side away are tried, else
    63 values from half to three times the longer side; the one with most inliers within 5 px wins, the earlier
    one in a tie. None where no pose is found.
    """
    height, width = mask.shape
    longer = max(height, width)
    if np.count_nonzero(mask) < _MIN_POINTS:
        return None
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    pixels = np.stack([columns, rows], axis=-1)[mask]
    world = np.ascontiguousarray(points[mask], dtype=np.float32)
    if focal_px is None:
        candidates = np.geomspace(longer / 2, longer * 3, _SEARCH)
    else:
        candidates = [focal_px, focal_px - _STEP_SHARE * longer, focal_px + _STEP_SHARE * longer]
    best, best_count = None, 0
    for focal in candidates:
        K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=np.float64)
        found, rotation, translation, inliers = cv2.solvePnPRansac(
            world, pixels, K, None, iterationsCount=_STEPS, reprojectionError=_INLIER_PX, flags=cv2.SOLVEPNP_SQPNP
        )
        if found and inliers is not None and len(inliers) > best_count:
            w2c = np.eye(4)
            w2c[:3, :3], w2c[:3, 3] = cv2.Rodrigues(rotation)[0], translation[:, 0]
            best, best_count = (float(focal), invert_pose(w2c)), len(inliers)
    return best
