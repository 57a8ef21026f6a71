"""A camera that turns but does not travel: recognised where a rotation explains what an epipolar geometry does."""

from dataclasses import dataclass

import numpy as np

from ..geometry.camera import Intrinsics, camera_rays
from ..progress import Progress
from ..tracking.tracks import Tracks
from .calibration import RATIOS, prior_cost
from .observations import Observations, thin
from .rotation_adjust import Panorama, adjust_rotations, mean_directions, residuals
from .solve import POSE_INTERPOLATED, POSE_RESECTED, POSE_SOLVED

INLIER_PX = 1.5  # of the tracked image
WORTH_TRYING = 0.4  # rotation inliers per epipolar inlier, in the lower quarter of the pairs, lens not yet known
MIN_AGREEMENT = 0.75  # the same over the whole shot, with the adjusted lens
K1_GAIN = 0.02  # least relative gain in cost that buys a radial term


def rotation_between(a: np.ndarray, b: np.ndarray, scale: float, rounds: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Rotation R with ``b = R a`` for unit rays (M, 3), robustly, and the angles (M,) left over in radians.

    Starts from the median-like solution of a heavy-tailed loss whose scale shrinks to ``scale`` radians.
    """
    weight = np.ones(len(a))
    R, angle = np.eye(3), None
    for i in range(rounds):
        U, _, Vt = np.linalg.svd((b * weight[:, None]).T @ a)
        R = U @ np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))]) @ Vt
        angle = np.linalg.norm(b - a @ R.T, axis=1)
        width = max(scale, float(np.median(angle)) * 0.5 ** max(0, i - 2))
        weight = 1.0 / (1.0 + (angle / width) ** 2) ** 2
    return R, angle


def unit_rays(xy: np.ndarray, lens: Intrinsics) -> np.ndarray:
    rays = camera_rays(xy.astype(np.float64), lens)
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def centred_lens(width: int, height: int, focal_px: float, k1: float = 0.0) -> Intrinsics:
    return Intrinsics(width, height, focal_px, focal_px, width / 2, height / 2, k1)


@dataclass
class RotationSurvey:
    """How well rotations alone explain the widest pairs, at the focal length where they do it best."""

    focal_px: float
    agreement: float  # lower quartile over pairs of rotation inliers per epipolar inlier
    epipolar_share: float  # median over pairs of epipolar inliers per shared track


def survey_rotation(
    tracks: Tracks, pairs: list, inlier_counts: list[int], focal_px: float | None, progress: Progress, most: int = 24
) -> RotationSurvey:
    """Fit one rotation a pair, for each focal length of a grid, and compare with the epipolar inliers.

    ``inlier_counts`` are the epipolar inliers of each pair at INLIER_PX. The widest ``most`` pairs are used.
    """
    longest, scale = max(tracks.width, tracks.height), tracks.working_scale
    order = np.argsort([p.i - p.j for p in pairs], kind="stable")[:most]
    ratios = RATIOS[::3] if focal_px is None else np.array([focal_px / longest])
    cost, shares = np.zeros(len(ratios)), np.zeros((len(ratios), len(order)))
    for index, ratio in enumerate(ratios):
        lens = centred_lens(tracks.width, tracks.height, ratio * longest)
        for column, k in enumerate(order):
            ra, rb = unit_rays(tracks.xy[pairs[k].a], lens), unit_rays(tracks.xy[pairs[k].b], lens)
            _, angle = rotation_between(ra, rb, scale / lens.fx)
            off = angle * lens.fx / np.maximum(rb[:, 2], 0.2) ** 2  # off axis a pixel spans a smaller angle
            cost[index] += np.mean(np.log1p(np.minimum(off / scale, 20) ** 2)) / len(order)
            shares[index, column] = min(1.0, (off < INLIER_PX * scale).sum() / max(1, inlier_counts[k]))
        progress.advance("turn", index + 1, len(ratios))
    best = int(np.argmin(cost + (prior_cost(ratios) if focal_px is None else 0.0)))
    epipolar = float(np.median([inlier_counts[k] / len(pairs[k].a) for k in order]))
    return RotationSurvey(float(ratios[best] * longest), float(np.percentile(shares[best], 25)), epipolar)


def solve_tripod(
    observations: Observations, keys: np.ndarray, start: float, fixed_focal: bool, progress: Progress
) -> tuple[np.ndarray, np.ndarray, Panorama]:
    """Rotations camera-to-world (F, 3, 3) of all frames, pose source (F,), and the key frames' panorama."""
    tracks = observations.tracks
    scale, frames = tracks.working_scale, tracks.frame_count
    lens = centred_lens(tracks.width, tracks.height, start)
    some = thin(tracks, keys, 200)
    inside = np.zeros(frames, dtype=bool)
    inside[keys] = True
    rows = np.flatnonzero(some[tracks.track] & inside[tracks.frame])
    names, track = np.unique(tracks.track[rows], return_inverse=True)
    frame = np.searchsorted(keys, tracks.frame[rows])
    xy = tracks.xy[rows].astype(np.float64)
    panorama = Panorama(chain(track, frame, xy, lens, len(keys), scale), np.zeros((len(names), 3)), lens)
    panorama.direction = mean_directions(panorama, track, frame, xy, len(names), scale)
    plain = adjusted(panorama, track, frame, xy, scale, not fixed_focal, False, progress)
    bent = adjusted(plain, track, frame, xy, scale, not fixed_focal, True, progress)
    panorama = bent if bent.cost < (1 - K1_GAIN) * plain.cost and abs(bent.lens.k1) < 0.5 else plain
    return (*spread(observations, keys, panorama, names, progress), panorama)


def zoom_tripod(observations: Observations, rotation: np.ndarray, lens: Intrinsics, progress: Progress) -> Panorama:
    """Rotations of all frames adjusted together with one focal length each (``lens`` holds (F,) to start from).

    The panorama's directions are those of the tracks that took part, not of all.
    """
    tracks = observations.tracks
    rows = np.flatnonzero(thin(tracks, np.arange(tracks.frame_count), 150)[tracks.track])
    names, track = np.unique(tracks.track[rows], return_inverse=True)
    frame, xy, scale = tracks.frame[rows], tracks.xy[rows].astype(np.float64), tracks.working_scale
    panorama = Panorama(rotation, np.zeros((len(names), 3)), lens)
    panorama.direction = mean_directions(panorama, track, frame, xy, len(names), scale)
    return adjusted(panorama, track, frame, xy, scale, True, lens.k1 != 0.0, progress)


def adjusted(panorama, track, frame, xy, scale, focal, k1, progress) -> Panorama:
    for loss in (3.0, 1.0):
        # The first round widens the basin; costs of the second are compared.
        panorama = adjust_rotations(panorama, track, frame, xy, loss * scale, focal, k1, progress, iterations=8)
    return panorama


def chain(track, frame, xy, lens: Intrinsics, count: int, scale: float) -> np.ndarray:
    """Camera-to-world rotations (``count``, 3, 3), each frame fitted to the directions of those before it."""
    rays = unit_rays(xy, lens)
    total = np.zeros((track.max() + 1, 3))
    rotation = np.tile(np.eye(3), (count, 1, 1))
    order = np.argsort(frame, kind="stable")
    bounds = np.searchsorted(frame[order], np.arange(count + 1))
    for k in range(count):
        rows = order[bounds[k] : bounds[k + 1]]
        seen = rows[np.linalg.norm(total[track[rows]], axis=1) > 0]
        if k and len(seen) >= 6:
            d = total[track[seen]] / np.linalg.norm(total[track[seen]], axis=1, keepdims=True)
            rotation[k], _ = rotation_between(rays[seen], d, scale / lens.fx)
        elif k:
            rotation[k] = rotation[k - 1]
        total[track[rows]] += rays[rows] @ rotation[k].T
    return rotation


def spread(observations: Observations, keys, panorama: Panorama, names, progress):
    """All frames' rotations from the key frames' directions, then all tracks' directions."""
    tracks = observations.tracks
    frames, n, scale = tracks.frame_count, len(tracks), tracks.working_scale
    lens = panorama.lens
    key_rotation = np.full((frames, 3, 3), np.nan)
    key_rotation[keys] = panorama.rotation
    source = np.full(frames, POSE_RESECTED, dtype=np.uint8)
    source[keys] = POSE_SOLVED
    posed = np.isfinite(key_rotation[tracks.frame, 0, 0])
    t, f, xy = tracks.track, tracks.frame, tracks.xy.astype(np.float64)
    whole = Panorama(key_rotation, np.zeros((n, 3)), lens)
    direction = mean_directions(whole, t[posed], f[posed], xy[posed], n, scale)
    direction[names] = panorama.direction
    for frame in np.flatnonzero(~np.isfinite(key_rotation[:, 0, 0])):
        rows = observations.rows(int(frame))
        rows = rows[np.isfinite(direction[t[rows], 0])]
        if len(rows) < 6:
            source[frame] = POSE_INTERPOLATED
            continue
        rays = unit_rays(xy[rows], lens)
        key_rotation[frame], _ = rotation_between(rays, direction[t[rows]], scale / lens.fx, rounds=10)
        progress.advance("resect", int(frame) + 1, frames)
    return key_rotation, source


def finish_directions(
    observations: Observations, rotation: np.ndarray, lens: Intrinsics
) -> tuple[np.ndarray, np.ndarray]:
    """Directions (N, 3) of all tracks and the pixel error (M,) of every observation."""
    tracks = observations.tracks
    t, f, xy = tracks.track, tracks.frame, tracks.xy.astype(np.float64)
    panorama = Panorama(rotation, np.zeros((len(tracks), 3)), lens)
    panorama.direction = mean_directions(panorama, t, f, xy, len(tracks), tracks.working_scale)
    r, _ = residuals(panorama, t, f, xy)
    return panorama.direction, np.linalg.norm(r, axis=1)
