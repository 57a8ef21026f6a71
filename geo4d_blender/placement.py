"""Where a reconstruction stands in Blender's world: ground, heading, origin and size, held by the parent empty."""

import numpy as np
from mathutils import Matrix

# A scene of unknown scale is made this deep (median distance of its points from the cameras, in metres), so that
# clipping distances, point sizes and default objects suit it.
ARBITRARY_DEPTH_M = 5.0


def upright_rotation(up: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) that takes ``up`` (3,) to +Z and ``forward`` (3,) as near to +Y as that allows."""
    z = up / np.linalg.norm(up)
    y = forward - (forward @ z) * z
    if np.linalg.norm(y) < 1e-3 * max(np.linalg.norm(forward), 1e-12):
        # The first camera looks straight up or down: any heading will do.
        helper = np.eye(3)[np.argmin(np.abs(z))]
        y = helper - (helper @ z) * z
    y = y / np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z])


def floor_height(heights: np.ndarray, camera_height: float) -> float:
    """Height of the lowest populous level among points (P,) below the cameras; the camera's own if there is none.

    Reconstructed floors have stray points beneath them, so the lowest two per cent are ignored.
    """
    below = heights[heights < camera_height]
    if len(below) < 20:
        return camera_height
    low, high = np.percentile(below, [2, 98])
    if high - low < 1e-9:
        return float(low)
    # Bins of a fortieth of the depth below the camera: fine enough for a floor, coarse enough for its noise.
    count, edges = np.histogram(below, bins=40, range=(low, high))
    populous = np.flatnonzero(count >= 0.5 * count[: len(count) // 2].max())[0]
    inside = (below >= edges[populous]) & (below <= edges[populous + 1])
    return float(np.median(below[inside]))


def root_matrix(scene, points: np.ndarray) -> Matrix:
    """World matrix of the parent empty: ``scene`` (reader's Scene, OpenCV world) and its static points (P, 3)."""
    first = scene.c2w[0]
    R = upright_rotation(scene.up, first[:3, 2])
    scale = 1.0
    points = points[np.isfinite(points).all(1)] if len(points) else points
    if scene.scale != "metric" and len(points):
        centre = np.median(scene.c2w[:, :3, 3], axis=0)
        distance = float(np.median(np.linalg.norm(points - centre, axis=1)))
        scale = ARBITRARY_DEPTH_M / distance if distance > 0 else 1.0
    camera = R @ first[:3, 3]
    floor = floor_height(points @ R[2], camera[2]) if len(points) else camera[2]
    matrix = np.eye(4)
    matrix[:3, :3] = scale * R
    matrix[:3, 3] = -scale * np.array([camera[0], camera[1], floor])
    return Matrix(matrix.tolist())
