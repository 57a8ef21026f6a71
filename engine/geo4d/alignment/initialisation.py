"""Where reference mode begins: windows chained by similarities, cameras by PnP on the chained point maps.

Source: the released Geo4D system; integer pixel grid and fields of the reference's own initialisation.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from ..errors import SolveError
from ..geometry.camera import invert_pose
from ..geometry.focal import focal_from_points
from ..geometry.pnp import camera_from_points
from ..geometry.ray_map import cameras_from_rays
from ..geometry.rotation import quaternions
from ..geometry.similarity import umeyama
from ..models.prediction import Prediction
from .objective import Windows
from .parameters import Parameters, compressed, focal_parameter

_TRUSTED_WEIGHT = 0.5  # of a point that takes part in PnP and focal lengths
_LEAST_WEIGHT = 1e-4  # of a point that gives its pixel a depth
_LEAST_SHARED = 3  # pixels that fix a similarity
_LEAST_FOCAL_PX = 30.0
_FOCAL_SPREAD = 0.6  # relative difference from the mean at which a window's focal length is not believed


def windows_of(predictions: Sequence[Prediction]) -> Windows:
    """The predictions as one stack; a window without disparity or cameras takes no part in that term.

    Points come from point maps, else from depth with cameras and focal length; weights from those of the points,
    else from confidence in units of its median, else 1. Raises SolveError ``reference_needs_points`` or
    ``windows_differ``.
    """
    taken = list(predictions)
    points = [points_of(p) for p in taken]
    without = [g for g, p in enumerate(points) if p is None]
    if without or not taken:
        raise SolveError(
            "reference_needs_points",
            f"Reference alignment begins with point maps, or depth with cameras and focal length, which {len(without)}"
            f" of {len(taken)} windows lack.",
            "Use the default alignment.",
        )
    if len({(len(p), p.width, p.height) for p in taken}) > 1:
        raise SolveError(
            "windows_differ", "Reference alignment needs windows of one length and size.", "Use the default alignment."
        )
    count, height, width = len(taken[0]), taken[0].height, taken[0].width

    def stack(values: list[np.ndarray | None], missing: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor | None:
        if all(v is None for v in values):
            return None
        filled = [(missing if v is None else v).reshape(shape) for v in values]
        return torch.from_numpy(np.stack(filled).astype(np.float32))

    def present(values: list[np.ndarray | None]) -> torch.Tensor:
        return torch.tensor([v is not None for v in values])

    pixels = (count, height * width)
    cameras = [cameras_of(p) for p in taken]
    weights = [weight_of(p) * np.isfinite(x).all(axis=-1) for p, x in zip(taken, points, strict=True)]
    disparity = [p.disparity for p in taken]
    return Windows(
        frames=torch.from_numpy(np.stack([p.positions for p in taken])),
        height=height,
        width=width,
        # What is not finite weighs nothing, and must not be NaN times 0 either.
        points=stack([np.where(np.isfinite(x), x, 0.0) for x in points], np.empty(0), (*pixels, 3)),
        weight=stack(weights, np.empty(0), pixels),
        disparity=stack(disparity, np.zeros(pixels), pixels),
        c2w=stack(cameras, np.tile(np.eye(4), (count, 1, 1)), (count, 4, 4)),
        with_disparity=present(disparity),
        with_cameras=present(cameras),
    )


def points_of(window: Prediction) -> np.ndarray | None:
    """(T, H, W, 3) in the window's first camera: the point maps, else what depth, cameras and lens put there.

    Pixels at whole numbers, as everywhere in this mode.
    """
    if window.points is not None:
        return window.points
    cameras = cameras_of(window)
    if window.depth is None or cameras is None or window.fx is None:
        return None
    v, u = np.mgrid[: window.height, : window.width]
    x = (u - window.width / 2) / window.fx[:, None, None]
    y = (v - window.height / 2) / (window.fx if window.fy is None else window.fy)[:, None, None]
    local = np.stack([x, y, np.ones_like(x)], axis=-1) * window.depth[..., None]
    return np.einsum("tij,thwj->thwi", cameras[:, :3, :3], local) + cameras[:, None, None, :3, 3]


def cameras_of(window: Prediction) -> np.ndarray | None:
    """(T, 4, 4) in the axes of the window's first camera, from ray maps or as predicted."""
    if window.ray_direction is not None and window.ray_moment is not None:
        return cameras_from_rays(window.ray_direction, window.ray_moment)
    return window.c2w


def weight_of(window: Prediction) -> np.ndarray:
    """(T, H, W) of the points, 0 = none. Confidence has any scale, but weights are compared with fixed limits."""
    shape = (len(window), window.height, window.width)
    if window.points is not None and window.points_weight is not None:
        return window.points_weight
    weight = np.ones(shape) if window.confidence is None else window.confidence / np.median(window.confidence)
    return weight if window.points is not None else np.where(window.depth > 0, weight, 0.0)


def initial_parameters(windows: Windows) -> Parameters:
    """Depth, cameras, focal length and window similarities to begin with; N = the highest frame + 1.

    Raises SolveError ``alignment_failed`` where a frame's points fit no camera at all, or a window shares no
    trusted pixel with those before it.
    """
    G, T = windows.frames.shape
    height, width = windows.height, windows.width
    points = windows.points.double().numpy().reshape(G, T, height, width, 3)
    weight = windows.weight.double().numpy().reshape(G, T, height, width)
    frames = windows.frames.numpy()
    guesses = window_focals(points[:, 0], weight[:, 0])
    count = int(frames.max()) + 1
    world = np.zeros((count, height, width, 3))
    trust = np.zeros((count, height, width))
    c2w = np.tile(np.eye(4), (count, 1, 1))
    focal = np.zeros(count)
    seen = np.zeros(count, dtype=bool)
    for g in range(G):
        s, R, t = 1.0, np.eye(3), np.zeros(3)
        if g:
            known = seen[frames[g]]
            ours, theirs = points[g][known].reshape(-1, 3), world[frames[g][known]].reshape(-1, 3)
            shared = (weight[g][known] * trust[frames[g][known]]).ravel()
            if np.count_nonzero(shared) < _LEAST_SHARED:
                raise SolveError(
                    "alignment_failed",
                    f"Window {g} shares {np.count_nonzero(shared)} trusted pixels with the windows before it.",
                    "Overlap the windows more, or use the default alignment, which bridges gaps.",
                )
            s, R, t = umeyama(ours, theirs, weights=shared)
        guess = guesses[g]
        for k, frame in enumerate(frames[g]):
            world[frame], trust[frame] = s * points[g, k] @ R.T + t, weight[g, k]
            found = camera_from_points(world[frame], trust[frame] > _TRUSTED_WEIGHT, guess)
            if found is None:
                raise SolveError(
                    "alignment_failed",
                    f"The predicted points of frame {frame} fit no camera.",
                    "Use the default alignment, which leaves such frames out.",
                )
            guess, c2w[frame] = found
            focal[frame], seen[frame] = guess, True
    similarities = [
        umeyama(
            points[g].reshape(-1, 3), world[frames[g]].reshape(-1, 3), weights=(weight[g] * trust[frames[g]]).ravel()
        )
        for g in range(G)
    ]
    # The world's own scale is free: the mean log scale of the windows is held at ln 0.5.
    factor = math.exp(math.log(0.5) - np.mean([math.log(s) for s, _, _ in similarities]))
    c2w[:, :3, 3] *= factor
    return Parameters(
        log_depth=_log_depth(world * factor, trust, c2w),
        camera=_pose(c2w[:, :3, :3], c2w[:, :3, 3]),
        log_focal=torch.tensor([[focal_parameter(float(focal.mean()))]], dtype=torch.float32),
        window=_similarity(similarities, factor),
        disparity_scale=torch.ones(G, 1),
        disparity_shift=torch.zeros(G, 1),
        trajectory=torch.tensor([[0.0, 0, 0, 1, 0, 0, 0, 0]]).repeat(G, 1),
    )


def window_focals(points: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Focal length in pixels (G,) of every window from its first frame's points (G, H, W, 3) and weights."""
    shifted = points.copy()
    shifted[..., 2] += 1.0 - points[..., 2].min()
    try:
        focal = np.array([focal_from_points(p, w > _TRUSTED_WEIGHT)[0] for p, w in zip(shifted, weight, strict=True)])
        mean = focal[focal > _LEAST_FOCAL_PX].mean() if (focal > _LEAST_FOCAL_PX).any() else focal.mean()
        return np.where(np.abs(focal / mean - 1) > _FOCAL_SPREAD, mean, focal)
    except ValueError:
        found = camera_from_points(points[0], weight[0] > _TRUSTED_WEIGHT)
        height, width = weight.shape[1:]
        return np.full(len(points), found[0] if found else max(height, width))


def _log_depth(world: np.ndarray, trust: np.ndarray, c2w: np.ndarray) -> torch.Tensor:
    """(N, H * W) from points in front of their cameras; what is not trusted or lies behind gets a stand-in."""
    count = len(world)
    w2c = invert_pose(c2w)
    depth = np.einsum("nj,nhwj->nhw", w2c[:, 2, :3], world) + w2c[:, 2, 3, None, None]
    depth = np.where(trust < _LEAST_WEIGHT, depth[0].max(), depth).reshape(count, -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return torch.from_numpy(np.nan_to_num(np.log(depth), nan=0.0, neginf=0.0)).float()


def _pose(R: np.ndarray, t: np.ndarray) -> torch.Tensor:
    q = np.roll(np.concatenate([quaternions(r[None]) for r in R]), -1, axis=1)
    return torch.cat([torch.from_numpy(q).float(), compressed(torch.from_numpy(t).float())], dim=1)


def _similarity(similarities: list, factor: float) -> torch.Tensor:
    """(G, 8); the stored translation is inside the scale."""
    s, R, t = (np.stack(column) for column in zip(*similarities, strict=True))
    pose = _pose(R, t / s[:, None])
    return torch.cat([pose, torch.from_numpy(np.log(s)).float()[:, None]], dim=1)
