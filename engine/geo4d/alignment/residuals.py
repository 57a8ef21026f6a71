"""How far windows are from one world, pixel by pixel: off their rays, and off one another's depth.

*Lateral* residuals: the slope at which the frame's camera sees a window's point, less that of its pixel. *Depth*
residuals: the logarithm of its depth, less the robust mean over windows. Both are free of units and of scale.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .registration import World
from .samples import Samples

WIDTH = 2.0  # of the Cauchy loss, in spreads
USUAL_DEPTH_SPREAD = 0.02  # of log depth, where only one window says anything
_LEAST_LATERAL, _LEAST_DEPTH = 2e-5, 1e-4  # spreads below these are rounding
_LEAST_PIXELS = 30  # of a window, to say anything of a camera on its own
_NEAREST = 1e-3  # the world's median depth is 1
_STRAY = 5.0  # spreads off
_CHUNK = 16  # frames at a time


@dataclass
class Spreads:
    """Robust standard deviations of the residuals."""

    lateral: float  # of slopes
    depth: float  # of log depth
    strays: float = 0.0  # share of pixels that several windows hold whose depths contradict each other


@dataclass
class Chunk:
    """Residuals of f frames in M windows, N pixels each."""

    frames: np.ndarray  # (f,)
    x: np.ndarray  # (f, M, N) slopes
    y: np.ndarray
    ex: np.ndarray  # (f, M, N) lateral residuals
    ey: np.ndarray
    z: np.ndarray  # (f, M, N) depth
    r: np.ndarray  # (f, M, N) depth residuals
    w: np.ndarray  # (f, M, N) confidence, 0 = has no say
    partners: np.ndarray  # (f, N) windows with a say

    def off2(self) -> np.ndarray:
        """Squared lateral distance."""
        return self.ex * self.ex + self.ey * self.ey


def chunks(samples: Samples, world: World, depth_spread: float | None = None) -> Iterator[Chunk]:
    """Residuals of all frames that some window holds; the mean depth is the median without ``depth_spread``."""
    used = np.where(samples.window >= 0, world.ok[samples.window], False)
    for start in range(0, len(samples), _CHUNK):
        frames = np.arange(start, min(start + _CHUNK, len(samples)))
        frames = frames[used[frames].any(1)]
        if not len(frames):
            continue
        g = np.maximum(samples.window[frames], 0)
        w2c = np.swapaxes(world.R[frames], 1, 2)[:, None]
        A = (world.scale[g][..., None, None] * (w2c @ world.rotation[g])).astype(np.float32)
        b = (w2c @ (world.shift[g] - world.c[frames][:, None])[..., None]).astype(np.float32)
        Y = A @ np.swapaxes(samples.points[frames], 2, 3) + b  # (f, M, 3, N)
        w = samples.weight[frames] * used[frames][..., None]
        ahead = (Y[:, :, 2] > _NEAREST) & (w > 0)
        w = np.where(ahead, w, np.float32(0.0))
        z = np.where(ahead, Y[:, :, 2], np.float32(1.0))
        inverse = ahead / z
        x, y = Y[:, :, 0] * inverse, Y[:, :, 1] * inverse
        ray = samples.xy.T / world.focal[frames][:, None, None].astype(np.float32)  # (f, 2, N)
        ex, ey = x - ray[:, None, 0] * ahead, y - ray[:, None, 1] * ahead
        r, partners = _off_the_middle(np.log(z), w, depth_spread)
        yield Chunk(frames, x, y, ex, ey, z, r, w, partners)


def _off_the_middle(log_z: np.ndarray, w: np.ndarray, spread: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Log depths (f, M, N) off their robust mean over windows, and how many (f, N) have a say."""
    said = w > 0
    partners = said.sum(1)
    if log_z.shape[1] == 1:
        return np.zeros_like(log_z), partners
    order = np.sort(np.where(said, log_z, np.float32(np.inf)), axis=1)
    low = np.take_along_axis(order, (np.maximum(partners - 1, 0) // 2)[:, None], axis=1)
    high = np.take_along_axis(order, (partners // 2)[:, None], axis=1)
    high = np.where(np.isfinite(high), high, low)
    middle = np.where(np.isfinite(low), 0.5 * (low + high), np.float32(0.0))
    if spread is not None:
        for _ in range(2):
            v = w / (1 + ((log_z - middle) / np.float32(WIDTH * spread)) ** 2)
            total = v.sum(1, keepdims=True)
            middle = np.where(total > 0, (v * log_z).sum(1, keepdims=True) / np.maximum(total, 1e-12), middle)
    return np.where(said, log_z - middle, np.float32(0.0)), partners


def measure(samples: Samples, world: World) -> Spreads:
    """Spreads of both residuals in a state."""
    lateral, depth = [np.zeros(0)], [np.zeros(0)]
    for chunk in chunks(samples, world):
        off = np.sqrt(chunk.off2()[chunk.w > 0])
        lateral.append(off[:: max(1, len(off) // 20_000)])
        r = chunk.r[(chunk.w > 0) & (chunk.partners > 1)[:, None]]
        depth.append(np.abs(r[:: max(1, len(r) // 20_000)]))
    lateral, depth = np.concatenate(lateral), np.concatenate(depth)
    # The median length of a normal vector is 1.18 deviations in two dimensions, 0.67 in one.
    s_l = float(np.median(lateral)) / 1.18 if len(lateral) else 1.0
    s_d = max(float(np.median(depth)) / 0.67 if len(depth) else USUAL_DEPTH_SPREAD, _LEAST_DEPTH)
    strays = float((depth > _STRAY * s_d).mean()) if len(depth) else 0.0
    return Spreads(max(s_l, _LEAST_LATERAL), s_d, strays)


def lateral_equations(chunk: Chunk, w: np.ndarray, xy: np.ndarray, focal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(f, M, 7, 7) and (f, M, 7) of the lateral residuals by pose (see ``resection.moved``) and log focal length."""
    f, M, N = w.shape
    x, y, inverse = chunk.x, chunk.y, 1 / chunk.z
    ray = xy.T / focal[:, None, None].astype(np.float32)
    J = np.empty((f, M, 7, 2, N), dtype=np.float32)
    J[:, :, 0, 0], J[:, :, 1, 0], J[:, :, 2, 0] = -x * y, 1 + x * x, -y
    J[:, :, 3, 0], J[:, :, 4, 0], J[:, :, 5, 0] = inverse, 0, -x * inverse
    J[:, :, 0, 1], J[:, :, 1, 1], J[:, :, 2, 1] = -(1 + y * y), x * y, x
    J[:, :, 3, 1], J[:, :, 4, 1], J[:, :, 5, 1] = 0, inverse, -y * inverse
    J[:, :, 6] = ray[:, None]
    Jw = (J * w[:, :, None, None]).reshape(f, M, 7, 2 * N)
    e = np.stack([chunk.ex, chunk.ey], axis=2).reshape(f, M, 2 * N, 1)
    A = Jw @ np.swapaxes(J.reshape(f, M, 7, 2 * N), 2, 3)
    return A.astype(np.float64), (Jw @ e)[..., 0].astype(np.float64)


# Which of a window's seven parameters about the camera move its depth: scale, two turns, nearer or farther.
DEPTH_COLUMNS = (0, 1, 2, 6)


def depth_equations(chunk: Chunk, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(f, M, 4, M, 4) and (f, M, 4) of the depth residuals by the windows' :data:`DEPTH_COLUMNS`.

    The pixels' own depths are eliminated: they meet one residual of each window.
    """
    f, M, N = w.shape
    V = np.empty((f, M, 4, N), dtype=np.float32)
    V[:, :, 0], V[:, :, 1], V[:, :, 2], V[:, :, 3] = 1.0, chunk.y, -chunk.x, 1 / chunk.z
    wV = V * w[:, :, None]
    own = (wV @ np.swapaxes(V, 2, 3)).astype(np.float64)
    right = (wV @ chunk.r[..., None])[..., 0].astype(np.float64)
    K = wV / np.sqrt(np.maximum(w.sum(1), np.float32(1e-12)))[:, None, None]
    cross = -np.swapaxes(K[:, :, None] @ np.swapaxes(K, 2, 3)[:, None], 2, 3).astype(np.float64)
    slots = np.arange(M)
    cross[:, slots, :, slots, :] += np.moveaxis(own, 1, 0)
    return cross, right


def deviations(samples: Samples, world: World, spreads: Spreads, k: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """How each window alone would turn and shift each frame's camera: (F, M, k), and (F, M) bool where it says so.

    Turn in radians, ``R exp(turn)``, and shift in world units, both in camera axes; only the turn with ``k`` = 3. One
    step from the common solution, with the pixels weighted as there.
    """
    F, M = samples.window.shape
    move, there = np.zeros((F, M, k)), np.zeros((F, M), dtype=bool)
    for chunk in chunks(samples, world):
        weight = chunk.w / (1 + chunk.off2() / np.float32((WIDTH * spreads.lateral) ** 2))
        A, a = lateral_equations(chunk, weight, samples.xy, world.focal[chunk.frames])
        A, a = A[..., :k, :k], a[..., :k]
        some = (chunk.w > 0).sum(-1) >= _LEAST_PIXELS
        size = np.maximum(np.trace(A, axis1=-2, axis2=-1), 1e-12)[..., None, None]
        # The scene moved by w and t before the camera is the camera moved by -w and -t.
        step = np.linalg.solve(A + 1e-9 * size * np.eye(k), a[..., None])[..., 0]
        some &= np.isfinite(step).all(-1) & (np.abs(step).max(-1) < 1)
        move[chunk.frames], there[chunk.frames] = np.where(some[..., None], step, 0.0), some
    return move, there


def window_depths(
    samples: Samples, world: World, frames: np.ndarray, slots: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Depth (T, N) in world units that windows give their frames' pixels, and its weight, 0 behind the camera."""
    g = samples.window[frames, slots]
    row = np.swapaxes(world.R[frames], 1, 2)[:, 2]  # the camera's z axis
    A = world.scale[g][:, None] * (row[:, None] @ world.rotation[g])[:, 0]
    b = (row * (world.shift[g] - world.c[frames])).sum(1)
    z = (samples.points[frames, slots] @ A[..., None].astype(np.float32))[..., 0] + b[:, None].astype(np.float32)
    return z, np.where(z > _NEAREST, samples.weight[frames, slots], np.float32(0.0))
