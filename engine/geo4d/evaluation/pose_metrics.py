"""Errors of a camera path against the true one.

Definitions follow Sturm et al., "A benchmark for the evaluation of RGB-D SLAM systems" (IROS 2012): absolute
trajectory error after a similarity, relative pose error over one frame.
"""

from dataclasses import dataclass

import numpy as np

from ..geometry.camera import invert_pose
from ..geometry.similarity import umeyama


@dataclass
class PoseErrors:
    """All root mean squares over frames or frame pairs; lengths in the unit of the true path."""

    ate: float  # distance of camera centres after the best similarity
    rpe_translation: float  # of the relative motion between successive frames, estimate scaled to the truth
    rpe_rotation_deg: float
    path_length: float  # of the true path
    scale: float  # of the similarity

    @property
    def ate_percent(self) -> float:
        """ATE in percent of the length of the path."""
        return 100.0 * self.ate / self.path_length


def compare_paths(estimate: np.ndarray, truth: np.ndarray) -> PoseErrors:
    """Camera-to-world poses (F, 4, 4) against the true ones, F >= 3; the true path must move."""
    s, R, t = umeyama(estimate[:, :3, 3], truth[:, :3, 3])
    aligned = np.tile(np.eye(4), (len(estimate), 1, 1))
    aligned[:, :3, :3] = R @ estimate[:, :3, :3]
    aligned[:, :3, 3] = s * estimate[:, :3, 3] @ R.T + t
    distance = np.linalg.norm(aligned[:, :3, 3] - truth[:, :3, 3], axis=1)
    true_step = invert_pose(truth[:-1]) @ truth[1:]
    step = invert_pose(aligned[:-1]) @ aligned[1:]
    residual = invert_pose(true_step) @ step
    return PoseErrors(
        ate=_rms(distance),
        rpe_translation=_rms(np.linalg.norm(residual[:, :3, 3], axis=1)),
        rpe_rotation_deg=_rms(angles_deg(residual[:, :3, :3])),
        path_length=float(np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()),
        scale=s,
    )


def rotation_errors_deg(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Angle (F,) between orientations after the one rotation that aligns all of them best (chordal L2).

    Needs no camera positions, so it also measures a camera on a tripod.
    """
    correlation = np.einsum("fij,fkj->ik", truth[:, :3, :3], estimate[:, :3, :3])
    U, _, Vt = np.linalg.svd(correlation)
    A = U @ np.diag([1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt
    return angles_deg(np.swapaxes(truth[:, :3, :3], 1, 2) @ A @ estimate[:, :3, :3])


def angles_deg(R: np.ndarray) -> np.ndarray:
    """Rotation angles (N,) in degrees of rotation matrices (N, 3, 3); exact for small angles too."""
    axis = np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], axis=-1)
    return np.degrees(np.arctan2(np.linalg.norm(axis, axis=-1), np.trace(R, axis1=1, axis2=2) - 1.0))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
