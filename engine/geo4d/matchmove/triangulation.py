"""Robust triangulation of many tracks at once, and their reprojection errors."""

import numpy as np

from ..geometry.camera import Intrinsics, camera_rays, distort

RADIUS = 10.0  # where points are put whose depth the rays do not tell


def reproject(points: np.ndarray, poses: np.ndarray, lens: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (M, 2) and z-depth (M,) of points (M, 3), each through its own camera-to-world pose (M, 4, 4).

    ``lens`` may hold one lens a point.
    """
    cam = np.einsum("mji,mj->mi", poses[:, :3, :3], points - poses[:, :3, 3])
    z = cam[:, 2]
    n = cam[:, :2] / np.where(np.abs(z) < 1e-12, 1e-12, z)[:, None]
    return distort(n, lens.k1) * lens.focal + lens.centre, z


def reprojection_errors(
    points: np.ndarray, track: np.ndarray, frame: np.ndarray, xy: np.ndarray, c2w: np.ndarray, lens: Intrinsics
) -> np.ndarray:
    """Pixel errors (M,) of observations of points (N, 3); infinite behind the camera, for NaN points and poses.

    ``lens`` may hold one lens a frame.
    """
    projected, z = reproject(points[track], c2w[frame], lens.at(frame))
    error = np.linalg.norm(projected - xy, axis=1)
    return np.where((z > 0) & np.isfinite(error), error, np.inf)


def triangulate(
    track: np.ndarray,
    frame: np.ndarray,
    xy: np.ndarray,
    c2w: np.ndarray,
    lens: Intrinsics,
    count: int,
    scale_px: float = 1.0,
    iterations: int = 8,
) -> np.ndarray:
    """Points (``count``, 3) that minimise a Cauchy loss of the pixel distance; NaN where fewer than two rays meet.

    Iteratively reweighted least squares on the distance to the rays, divided by depth so that it measures
    pixels. ``track`` (M,), ``frame`` (M,), ``xy`` (M, 2) are the observations; poses may hold NaN, ``lens`` may hold
    one lens a frame.
    """
    usable = np.isfinite(c2w[frame, 0, 0])
    track, frame, xy = track[usable], frame[usable], xy[usable].astype(np.float64)
    rays = camera_rays(xy, lens.at(frame))
    rays = np.einsum("mij,mj->mi", c2w[frame, :3, :3], rays)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    centre = c2w[frame, :3, 3]
    projector = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    weight = np.ones(len(track))
    points = np.full((count, 3), np.nan)
    for _ in range(iterations):
        points = solve_rays(track, projector, centre, weight, count)
        error = reprojection_errors(points, track, frame, xy, c2w, lens)
        distance = np.maximum(np.linalg.norm(points[track] - centre, axis=1), 1e-9)
        robust = 1.0 / (1.0 + np.minimum(error / scale_px, 1e3) ** 2)
        weight = np.nan_to_num(robust / distance**2, nan=0.0, posinf=0.0)
    return points


def points_or_directions(
    track: np.ndarray, frame: np.ndarray, xy: np.ndarray, c2w: np.ndarray, lens: Intrinsics, count: int, scale_px: float
) -> np.ndarray:
    """As :func:`triangulate`; where rays meet nowhere, the point lies far off in their direction.

    Of cameras that all stand in one place nothing else can be told.
    """
    travelled = np.ptp(c2w[:, :3, 3], axis=0).max()
    points = np.full((count, 3), np.nan)
    if travelled > 0:
        points = triangulate(track, frame, xy, c2w, lens, count, scale_px)
    flat = ~np.isfinite(points[:, 0])
    points[flat] = along_rays(track, frame, xy, c2w, lens, count, RADIUS * max(1.0, travelled), scale_px)[flat]
    return points


def along_rays(
    track: np.ndarray,
    frame: np.ndarray,
    xy: np.ndarray,
    c2w: np.ndarray,
    lens: Intrinsics,
    count: int,
    distance: float,
    scale_px: float = 1.0,
    rounds: int = 4,
) -> np.ndarray:
    """Points (``count``, 3) in the direction of each track's rays, ``distance`` from the mean of their cameras.

    The direction is a robust mean: a track that has slipped counts where most of it lies.
    """
    lens = lens.at(frame)
    rays = np.einsum("mij,mj->mi", c2w[frame, :3, :3], camera_rays(xy.astype(np.float64), lens))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    weight = np.ones(len(track))
    for _ in range(rounds):
        direction = np.column_stack([np.bincount(track, weight * rays[:, i], minlength=count) for i in range(3)])
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
        off = np.linalg.norm(rays - direction[track], axis=1) * lens.fx / scale_px
        weight = 1.0 / (1.0 + off**2)
    size = np.maximum(np.bincount(track, minlength=count), 1)[:, None]
    centre = np.column_stack([np.bincount(track, c2w[frame, i, 3], minlength=count) for i in range(3)]) / size
    points = centre + distance * direction
    points[np.bincount(track, minlength=count) == 0] = np.nan
    return points


def solve_rays(track, projector, centre, weight, count) -> np.ndarray:
    """Points (``count``, 3) nearest to weighted rays given by projectors (M, 3, 3) and centres (M, 3)."""
    wp = projector * weight[:, None, None]
    b = np.einsum("mij,mj->mi", wp, centre)
    A = np.empty((count, 3, 3))
    rhs = np.empty((count, 3))
    for i in range(3):
        rhs[:, i] = np.bincount(track, b[:, i], minlength=count)
        for j in range(3):
            A[:, i, j] = np.bincount(track, wp[:, i, j], minlength=count)
    size = np.trace(A, axis1=1, axis2=2)
    # A ray alone leaves its own direction open: the determinant tells how well the rays cross.
    solvable = np.linalg.det(A / np.where(size > 0, size, 1.0)[:, None, None]) > 1e-12
    points = np.full((count, 3), np.nan)
    if solvable.any():
        points[solvable] = np.linalg.solve(A[solvable], rhs[solvable][..., None])[..., 0]
    return points


def triangulation_angles(points: np.ndarray, track: np.ndarray, frame: np.ndarray, c2w: np.ndarray) -> np.ndarray:
    """Largest angle in degrees (N,) between the first and any other ray of each track, NaN without a point.

    Observations are sorted by track.
    """
    rays = points[track] - c2w[frame, :3, 3]
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12)
    first = np.zeros(len(points), dtype=np.int64)
    starts = np.flatnonzero(np.concatenate([[True], track[1:] != track[:-1]])) if len(track) else []
    first[track[starts]] = starts
    sine = np.linalg.norm(np.cross(rays, rays[first[track]]), axis=1)
    angle = np.degrees(np.arcsin(np.clip(sine, 0, 1)))
    out = np.zeros(len(points))
    np.maximum.at(out, track, np.nan_to_num(angle))
    out[~np.isfinite(points[:, 0])] = np.nan
    return out
