"""Which way is up: people hold cameras level on average, and the ground below them is a plane."""

import numpy as np

MAX_TILT_DEG = 25.0
MIN_SHARE = 0.12  # of the points, for a plane to count as the ground


def estimate_up(c2w: np.ndarray, points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Unit vector (3,) against gravity, from poses (F, 4, 4) and static points (P, 3).

    The level direction is the one most nearly across all camera x axes; where a plane of points below the
    cameras agrees with it, the plane's normal is taken.
    """
    up = level_up(c2w)
    if len(points) >= 100:
        normal = ground_normal(c2w, points, up, seed)
        if normal is not None:
            return normal
    return up


def level_up(c2w: np.ndarray) -> np.ndarray:
    """Across the cameras' x axes where these vary enough, otherwise the mean of the cameras' up axes."""
    mean = -c2w[:, :3, 1].sum(0)
    mean /= np.linalg.norm(mean)
    x = c2w[:, :3, 0]
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    # Only a camera that turns by some 30 degrees tells a tilt from the horizon.
    if values[1] > 0.07:
        up = vectors[:, 0] * np.sign(vectors[:, 0] @ mean)
        if up @ mean > np.cos(np.radians(60)):
            return up
    return mean


def ground_normal(c2w: np.ndarray, points: np.ndarray, up: np.ndarray, seed: int) -> np.ndarray | None:
    """Normal of the dominant plane below the cameras within MAX_TILT_DEG of ``up``, None where there is none."""
    height = (points - c2w[:, :3, 3].mean(0)) @ up
    low = points[height < 0]
    if len(low) < 50:
        return None
    rng = np.random.default_rng(seed)
    some = low if len(low) <= 3000 else low[rng.choice(len(low), 3000, replace=False)]
    thickness = 0.02 * float(np.median(np.abs(height)))
    trios = some[rng.integers(0, len(some), (600, 3))]
    normals = np.cross(trios[:, 1] - trios[:, 0], trios[:, 2] - trios[:, 0])
    length = np.linalg.norm(normals, axis=1)
    normals = normals / np.maximum(length, 1e-12)[:, None]
    normals *= np.where(normals @ up < 0, -1.0, 1.0)[:, None]
    plausible = (length > 1e-12) & (normals @ up > np.cos(np.radians(MAX_TILT_DEG)))
    best, best_count = None, 0
    for normal, corner in zip(normals[plausible], trios[plausible, 0], strict=True):
        count = int((np.abs((some - corner) @ normal) < thickness).sum())
        if count > best_count:
            best, best_count = (normal, corner), count
    if best is None or best_count < MIN_SHARE * min(len(points), len(some) * len(points) / len(low)):
        return None
    inside = some[np.abs((some - best[1]) @ best[0]) < thickness]
    normal = np.linalg.svd(inside - inside.mean(0), full_matrices=False)[2][2]
    return normal * np.sign(normal @ up)
