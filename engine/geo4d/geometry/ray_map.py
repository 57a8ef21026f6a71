"""Cameras from ray maps: one viewing direction and one moment for every pixel, in the frame of a reference camera.

A ray through point p with unit direction d has the moment m = p x d (Pluecker coordinates). OpenCV axes.
"""

import numpy as np


def cameras_from_rays(direction: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Camera-to-world poses (T, 4, 4) float64 from ray maps of T frames, (T, H, W, 3) each.

    Directions need not be of unit length. The world is the camera of frame 0 up to its centre: frame 0 gets the
    identity rotation and whatever centre its rays meet in. Only the central square of the maps is used.

    Source: least-squares intersection of lines for the centre; Kabsch's rotation between the directions of frame
    0 and of each frame, paired by pixel, for the orientation.
    """
    d = _central_square(np.asarray(direction, dtype=np.float64))
    m = _central_square(np.asarray(moment, dtype=np.float64))
    d = d / np.maximum(np.linalg.norm(d, axis=-1, keepdims=True), 1e-12)
    poses = np.tile(np.eye(4), (len(d), 1, 1))
    for frame in range(len(d)):
        poses[frame, :3, :3] = _rotation(d[0], d[frame])
        poses[frame, :3, 3] = ray_centre(d[frame], m[frame])
    return poses


def ray_centre(direction: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Point (3,) closest to all rays of unit directions (N, 3) and moments (N, 3)."""
    nearest = np.cross(direction, moment)  # the point of each ray closest to the origin, for d x m with |d| = 1
    A = len(direction) * np.eye(3) - direction.T @ direction
    # (I - d d^T) p summed over the rays
    b = nearest.sum(0) - direction.T @ np.einsum("nk,nk->n", direction, nearest)
    return np.linalg.lstsq(A, b, rcond=None)[0]


def rotation_from_directions(reference: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Camera-to-world rotation (3, 3) of a camera whose rays are ``turned`` (N, 3), the world's are ``reference``."""
    U, _, Vt = np.linalg.svd(turned.T @ reference)
    return U @ np.diag([1.0, 1.0, np.sign(np.linalg.det(U @ Vt)) or 1.0]) @ Vt


_rotation = rotation_from_directions


def _central_square(maps: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) to (T, side * side, 3)."""
    height, width = maps.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return maps[:, top : top + side, left : left + side].reshape(len(maps), -1, 3)
