"""Planes that a frame's measured points lie on: what floors, walls and table tops would be where nothing was measured.

Inverse depth of a plane is affine in the rays of a pinhole, so each plane is three numbers. Every pixel is offered
the few planes that hold most of the measured points around it, edges of the picture considered.
"""

import numpy as np

from .fill import Guide, spread_over

OFFERED = 3  # planes offered to a pixel, the best supported first
_PLANES = 6  # at most, of one frame
_HYPOTHESES = 250
_SAMPLE = 1500  # measured cells that planes are looked for in
_TOLERANCE = 0.03  # relative difference of inverse depth
_FEWEST = 40  # cells on a plane, of the sample
_REACH = (0.08, 0.6)  # distance of a hypothesis' three points, in units of the focal length
_LEAST_WEIGHT = 1e-4
# Blur radii in cells over which measured points speak for a plane, and how much each counts.
_SCALES = ((10.0, 1.0), (75.0, 1e-2))


def find_planes(x: np.ndarray, y: np.ndarray, d: np.ndarray, weight: np.ndarray, seed: int = 0) -> np.ndarray:
    """Planes through weighted points, by RANSAC one after the other.

    Parameters
    ----------
    x, y : (n,) rays (z = 1). d : (n,) inverse depth > 0. weight : (n,) information, 0 where there is none.

    Returns
    -------
    (K, 3) float64 with d = p @ (x, y, 1) on plane p, K from 0 to 6, those with most points first.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(weight > _LEAST_WEIGHT)
    if len(known) > _SAMPLE:
        say = np.sqrt(weight[known])
        known = rng.choice(known, _SAMPLE, replace=False, p=say / say.sum())
    A = np.stack([x[known], y[known], np.ones(len(known))], axis=1).astype(np.float64)
    D, W = d[known].astype(np.float64), np.sqrt(weight[known].astype(np.float64))
    free = np.ones(len(known), dtype=bool)
    planes: list[np.ndarray] = []
    while len(planes) < _PLANES and free.sum() >= _FEWEST:
        a, b, w = A[free], D[free], W[free]
        three = _near_triples(a, rng)
        flat_enough = np.abs(np.linalg.det(a[three])) > 1e-4
        if not flat_enough.any():
            break
        three = three[flat_enough]
        guesses = np.linalg.solve(a[three], b[three][..., None])[..., 0]
        z = (a @ guesses.T - b[:, None]) / (_TOLERANCE * b[:, None])
        p = guesses[(w @ (1 / (1 + z * z))).argmax()]
        for _ in range(3):  # reweighted least squares
            z = (a @ p - b) / (_TOLERANCE * b)
            g = (w / (b * (1 + z * z)) ** 2)[:, None] * a
            p = np.linalg.solve(g.T @ a + 1e-9 * np.eye(3), g.T @ b)
        z = np.abs(A @ p - D) / (_TOLERANCE * D)
        if (free & (z < 2)).sum() < _FEWEST / 2:
            break
        planes.append(p)
        free &= z >= 2.5
    return np.array(planes).reshape(-1, 3)


def _near_triples(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices (hypotheses, 3) of points (n, 3) that are neither together nor at opposite ends of the picture."""
    first = rng.integers(0, len(a), _HYPOTHESES)
    reach = np.exp(rng.uniform(*np.log(_REACH), _HYPOTHESES))[:, None]
    out = [first]
    for _ in range(2):
        tries = rng.integers(0, len(a), (_HYPOTHESES, 12))
        distance = np.hypot(*(a[tries, k] - a[first, k][:, None] for k in (0, 1)))
        best = np.abs(np.log(np.maximum(distance, 1e-3) / reach)).argmin(axis=1)
        out.append(tries[np.arange(_HYPOTHESES), best])
    return np.stack(out, axis=1)


def offered_planes(
    rgb: np.ndarray, x: np.ndarray, y: np.ndarray, d: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The planes offered to each cell of a picture uint8 (h, w, 3), all maps (h, w).

    Returns
    -------
    d : (OFFERED, h, w) float32 inverse depth of the planes, 0 where there is none.
    share : (OFFERED, h, w) float32 0..1 share of the measured points around that lie on the plane.
    """
    h, w = d.shape
    out, shares = np.zeros((2, OFFERED, h, w), dtype=np.float32)
    planes = find_planes(x.ravel(), y.ravel(), d.ravel(), weight.ravel())
    if not len(planes):
        return out, shares
    on_plane = np.tensordot(planes, np.stack([x, y, np.ones_like(x)]), 1).astype(np.float32)  # (K, h, w)
    z = (on_plane - d) / (_TOLERANCE * np.maximum(d, 1e-12))
    say = np.sqrt(weight)
    votes = np.dstack([*(say / (1 + np.minimum(z * z, 1e6)) ** 2), say]).astype(np.float32)
    guide = Guide.of(rgb)
    reached = spread_over(votes, guide, _SCALES)
    share = (reached[..., :-1] / np.maximum(reached[..., -1:], 1e-12)).transpose(2, 0, 1)
    share = np.where(on_plane > 0, share, -1)  # behind its horizon a plane is nowhere
    order = np.argsort(-share, axis=0, kind="stable")[:OFFERED]
    n = len(order)
    out[:n], shares[:n] = (np.take_along_axis(v, order, axis=0) for v in (on_plane, share))
    none = shares < 0
    out[none], shares[none] = 0, 0
    return out, shares
