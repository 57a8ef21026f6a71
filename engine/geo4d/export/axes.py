"""From the scene's world and OpenCV cameras to worlds that stand upright and cameras that look along -z."""

import numpy as np

from ..scene.reader import Scene

# Camera axes: OpenCV (x right, y down, z forward) to OpenGL, USD and Nuke (x right, y up, z backward).
CAMERA_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def upright(scene: Scene, up_axis: str) -> np.ndarray:
    """Rotation (3, 3) of the scene's world to one with ``up_axis`` "Y" or "Z" against gravity.

    The first camera looks along -Z (Y up) or +Y (Z up) as nearly as its tilt allows, as in Blender's own import.
    """
    up = scene.up / np.linalg.norm(scene.up)
    forward = scene.c2w[0, :3, 2]
    ahead = forward - (forward @ up) * up
    if np.linalg.norm(ahead) < 1e-3:  # straight up or down: any heading will do
        helper = np.eye(3)[np.argmin(np.abs(up))]
        ahead = helper - (helper @ up) * up
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, up)
    return np.stack([right, up, -ahead]) if up_axis == "Y" else np.stack([right, ahead, up])


def cameras_looking_back(scene: Scene, R: np.ndarray) -> np.ndarray:
    """Camera-to-world matrices (F, 4, 4) in the world turned by ``R``, with OpenGL camera axes."""
    turned = np.eye(4)
    turned[:3, :3] = R
    return turned @ scene.c2w @ CAMERA_FLIP
