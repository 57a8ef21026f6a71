"""Rotations as unit quaternions (w, x, y, z), with neighbouring signs kept consistent."""

import numpy as np


def quaternions(R: np.ndarray) -> np.ndarray:
    """Rotation matrices (N, 3, 3) to unit quaternions (N, 4) as (w, x, y, z), each on its predecessor's side."""
    R = np.asarray(R, dtype=np.float64)
    # Bar-Itzhack: the quaternion is the dominant eigenvector of a symmetric 4x4 matrix; stable everywhere.
    K = np.empty((len(R), 4, 4))
    m = R.transpose(1, 2, 0)
    K[:, 0, 0] = m[0, 0] + m[1, 1] + m[2, 2]
    K[:, 0, 1] = K[:, 1, 0] = m[2, 1] - m[1, 2]
    K[:, 0, 2] = K[:, 2, 0] = m[0, 2] - m[2, 0]
    K[:, 0, 3] = K[:, 3, 0] = m[1, 0] - m[0, 1]
    K[:, 1, 1] = m[0, 0] - m[1, 1] - m[2, 2]
    K[:, 2, 2] = m[1, 1] - m[0, 0] - m[2, 2]
    K[:, 3, 3] = m[2, 2] - m[0, 0] - m[1, 1]
    K[:, 1, 2] = K[:, 2, 1] = m[0, 1] + m[1, 0]
    K[:, 1, 3] = K[:, 3, 1] = m[0, 2] + m[2, 0]
    K[:, 2, 3] = K[:, 3, 2] = m[1, 2] + m[2, 1]
    q = np.linalg.eigh(K)[1][:, :, -1]
    if len(q) and q[0, 0] < 0:
        q[0] = -q[0]
    for i in range(1, len(q)):
        if np.dot(q[i], q[i - 1]) < 0:
            q[i] = -q[i]
    return q


def rotation_matrices(q: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4) as (w, x, y, z), any length, to rotation matrices (N, 3, 3)."""
    q = np.asarray(q, dtype=np.float64)
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    w, x, y, z = np.moveaxis(q, -1, 0)
    R = np.empty((*q.shape[:-1], 3, 3))
    R[..., 0, 0] = 1 - 2 * (y * y + z * z)
    R[..., 0, 1] = 2 * (x * y - w * z)
    R[..., 0, 2] = 2 * (x * z + w * y)
    R[..., 1, 0] = 2 * (x * y + w * z)
    R[..., 1, 1] = 1 - 2 * (x * x + z * z)
    R[..., 1, 2] = 2 * (y * z - w * x)
    R[..., 2, 0] = 2 * (x * z - w * y)
    R[..., 2, 1] = 2 * (y * z + w * x)
    R[..., 2, 2] = 1 - 2 * (x * x + y * y)
    return R


def rotations_from_vectors(v: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3), axis times angle in radians, to matrices (..., 3, 3) (Rodrigues)."""
    v = np.asarray(v, dtype=np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(v, -1, 0)
    o = np.zeros_like(x)
    K = np.stack([o, -z, y, z, o, -x, -y, x, o], axis=-1).reshape(*v.shape[:-1], 3, 3)
    small = angle < 1e-6
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 1.0 - angle**2 / 6, np.sin(safe) / safe)
    b = np.where(small, 0.5 - angle**2 / 24, (1 - np.cos(safe)) / safe**2)
    return np.eye(3) + a * K + b * (K @ K)


def vectors_from_rotations(R: np.ndarray) -> np.ndarray:
    """Inverse of :func:`rotations_from_vectors` for angles below a half turn: (..., 3, 3) to (..., 3)."""
    R = np.asarray(R, dtype=np.float64)
    axis = 0.5 * np.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], -1)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, 0.5 * (np.trace(R, axis1=-2, axis2=-1)[..., None] - 1.0))
    return axis * np.where(sine > 1e-9, angle / np.where(sine > 1e-9, sine, 1.0), 1.0)


def mean_rotation(R: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The rotation (3, 3) closest to rotations (N, 3, 3) in the chordal sense."""
    total = (R if weights is None else R * weights[:, None, None]).sum(0)
    U, _, Vt = np.linalg.svd(total)
    return U @ np.diag([1.0, 1.0, np.sign(np.linalg.det(U @ Vt)) or 1.0]) @ Vt


def slerp(q0: np.ndarray, q1: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Spherical interpolation between two unit quaternions at parameters t (N,) in 0..1: (N, 4)."""
    t = np.atleast_1d(np.asarray(t, dtype=np.float64))
    dot = float(np.dot(q0, q1))
    if dot < 0:
        q1, dot = -q1, -dot
    angle = np.arccos(min(dot, 1.0))
    if angle < 1e-6:
        q = (1 - t)[:, None] * q0 + t[:, None] * q1
    else:
        q = (np.sin((1 - t) * angle)[:, None] * q0 + np.sin(t * angle)[:, None] * q1) / np.sin(angle)
    return q / np.linalg.norm(q, axis=1, keepdims=True)
