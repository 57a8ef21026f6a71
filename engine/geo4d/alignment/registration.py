"""First cameras, lens and window similarities, in closed form or by medians: half of the pixels may be wrong."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.rotation import mean_rotation
from ..progress import Progress
from .evidence import relative_poses
from .resection import camera_points, resect
from .samples import Samples

TYPICAL_FOCAL = 1.0  # focal length over the longer side, of cameras of which nothing is known
_FOCAL_RANGE = (0.25, 8.0)
_DEPTH_AGREES = 0.1  # of log depth: two windows mean the same surface
_LEAST_SHARE = 0.2  # of valid pixels for a window to be of use
_FEW = 400  # pixels that suffice for a first camera


@dataclass
class World:
    """Cameras of F frames and similarities of G windows in one world.

    ``X_world = scale * rotation @ X_window + shift``. ``focal`` is over the longer side of the footage.
    """

    R: np.ndarray  # (F, 3, 3) camera to world
    c: np.ndarray  # (F, 3)
    focal: np.ndarray  # (F,)
    scale: np.ndarray  # (G,)
    rotation: np.ndarray  # (G, 3, 3)
    shift: np.ndarray  # (G, 3)
    ok: np.ndarray  # (G,) bool: takes part
    posed: np.ndarray  # (F,) bool: some window that takes part holds the frame

    def copy(self) -> "World":
        return World(*(value.copy() for value in vars(self).values()))


@dataclass
class LocalCameras:
    """Camera of each frame in each window's own axes, where that window holds the frame."""

    R: np.ndarray  # (F, M, 3, 3)
    c: np.ndarray  # (F, M, 3)
    share: np.ndarray  # (F, M) of pixels that agree with it, 0 where there is none
    error: np.ndarray  # (F, M) median, in units of the footage's longer side
    depth: np.ndarray  # (F, M, n) float32 z of the pixels ``some``, 0 = none
    some: np.ndarray  # (n,) indices of pixels


def first_focal(samples: Samples, known: float | None) -> tuple[np.ndarray, bool]:
    """Focal ratio (G,) of each window and whether the windows say anything of it.

    From what the model predicts of the lens, else from the window's first frame, whose point map is in its own
    camera's axes but for an offset t of z: ``x focal - u t = u z`` is linear in both, fitted with falling weight
    of what disagrees.
    """
    count = len(samples.frames)
    if known is not None:
        return np.full(count, known), True
    estimates, sureness = np.full(count, np.nan), np.zeros(count)
    for g in range(count):
        if samples.cameras[g].focal_ratio is not None:
            estimates[g], sureness[g] = samples.cameras[g].focal_ratio, 1.0
        elif len(samples.frames[g]) and samples.valid_share[g] > 0 and not samples.cameras[g].lens_assumed:
            f, m = samples.frames[g][0], samples.slots[g][0]
            estimates[g], sureness[g] = _focal_and_offset(samples.points[f, m], samples.weight[f, m], samples.xy)
    good = np.isfinite(estimates) & (estimates > _FOCAL_RANGE[0]) & (estimates < _FOCAL_RANGE[1]) & (sureness > 0)
    if not good.any():
        return np.full(count, TYPICAL_FOCAL), False
    order = np.argsort(estimates[good])
    half = np.cumsum(sureness[good][order])
    common = estimates[good][order][np.searchsorted(half, half[-1] / 2)]
    return np.where(good, estimates, common), True


def frame_focals(samples: Samples, g: int, focal: float) -> np.ndarray:
    """Focal ratio (T,) of a window's frames: as predicted for each where the lens may zoom, else ``focal``."""
    ratios = samples.cameras[g].focal_ratios
    known = samples.known_focal is not None or ratios is None
    return np.full(len(samples.frames[g]), focal) if known else ratios


def common_focal(focal: np.ndarray) -> float:
    return float(np.exp(np.median(np.log(focal))))


def _focal_and_offset(X: np.ndarray, weight: np.ndarray, xy: np.ndarray, rounds: int = 12) -> tuple[float, float]:
    """Focal ratio of one point map (N, 3), and how sure it is: the share of pixels that agree, 0 for a flat one."""
    use = weight > 0
    if use.sum() < 20:
        return np.nan, 0.0
    X, xy, w0 = X[use].astype(np.float64), xy[use].astype(np.float64), weight[use].astype(np.float64)
    unit = np.median(np.linalg.norm(X - np.median(X, axis=0), axis=1)) or 1.0
    X = X / unit
    A = np.concatenate([np.stack([X[:, i], -xy[:, i]], axis=1) for i in (0, 1)])
    b = np.concatenate([xy[:, i] * X[:, 2] for i in (0, 1)])
    w, w0 = np.tile(w0, 2), np.tile(w0, 2)
    solution = None
    for _ in range(rounds):
        N = (A * w[:, None]).T @ A
        if np.linalg.cond(N) > 1e10:
            return np.nan, 0.0
        solution = np.linalg.solve(N, (A * w[:, None]).T @ b)
        r = np.abs(A @ solution - b)
        width = max(1.5 * float(np.median(r)), 1e-9)
        w = w0 / (1 + (r / width) ** 2)
    z = X[:, 2] + solution[1]
    if not np.median(z) > 0:
        return np.nan, 0.0
    # A flat map tells focal length and distance apart badly.
    relief = min(1.0, float(np.std(np.clip(z / np.median(z), 0, 3))) / 0.2)
    return float(solution[0]), relief * float((r < 0.02 * np.median(z)).mean())


def local_cameras(samples: Samples, focal: np.ndarray, progress: Progress) -> LocalCameras:
    """Cameras of all frames in all windows, each started from the frame before, with each window's ``focal`` (G,)."""
    F, M = samples.window.shape
    n = len(samples.xy)
    some = np.arange(n) if n <= _FEW else np.linspace(0, n - 1, _FEW).astype(int)
    xy = samples.xy[some]
    local = LocalCameras(
        np.tile(np.eye(3), (F, M, 1, 1)),
        np.zeros((F, M, 3)),
        np.zeros((F, M)),
        np.full((F, M), np.inf),
        np.zeros((F, M, len(some)), dtype=np.float32),
        some,
    )
    count = len(samples.frames)
    R, c = np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3))
    lenses = [frame_focals(samples, g, focal[g]) for g in range(count)]
    for g in range(count):
        if len(samples.frames[g]):
            f, m = samples.frames[g][0], samples.slots[g][0]
            c[g] = _behind(samples.points[f, m], samples.weight[f, m], samples.xy, lenses[g][0])
    for t in range(max((len(f) for f in samples.frames), default=0)):
        there = np.array([g for g in range(count) if t < len(samples.frames[g]) and samples.valid_share[g] > 0])
        if not len(there):
            continue
        f = np.array([samples.frames[g][t] for g in there])
        m = np.array([samples.slots[g][t] for g in there])
        X, w = samples.points[f, m][:, some], samples.weight[f, m][:, some]
        lens = np.array([lenses[g][t] for g in there])
        found = resect(X, w, xy, lens, R[there], c[there], rounds=12 if t == 0 else 6)
        for k in np.flatnonzero(found.share < 0.5):
            _retry(found, k, X[k], w[k], xy, lens[k], samples, there[k], t)
        R[there], c[there] = found.R, found.c
        local.R[f, m], local.c[f, m], local.share[f, m], local.error[f, m] = found.R, found.c, found.share, found.error
        z = camera_points(X, found.R, found.c)[..., 2]
        local.depth[f, m] = np.where((w > 0) & (z > 0), z, np.float32(0.0))
        progress.advance("align", 0, 1)
    return local


def _behind(X: np.ndarray, weight: np.ndarray, xy: np.ndarray, focal: float) -> np.ndarray:
    """Centre of a camera that looks along z, from points (N, 3) seen at xy: ``u (z - c_z) = focal (x - c_x)``."""
    use = weight > 0
    if use.sum() < 10:
        return np.zeros(3)
    X, xy = X[use].astype(np.float64), xy[use].astype(np.float64) / focal
    # u c_z - c_x = u z - x, for both axes; the median of a few reweighted fits
    o, one = np.zeros(len(X)), np.ones(len(X))
    A = np.concatenate([np.stack([-one, o, xy[:, 0]], 1), np.stack([o, -one, xy[:, 1]], 1)])
    b = np.concatenate([xy[:, i] * X[:, 2] - X[:, i] for i in (0, 1)])
    w = np.tile(weight[use].astype(np.float64), 2)
    base, solution = w, np.zeros(3)
    for _ in range(10):
        N = (A * w[:, None]).T @ A + 1e-12 * np.eye(3)
        solution = np.linalg.solve(N, (A * w[:, None]).T @ b)
        r = np.abs(A @ solution - b)
        w = base / (1 + (r / max(1.5 * float(np.median(r)), 1e-9)) ** 2)
    return solution


def _retry(found, k, X, weight, xy, focal, samples, g, t) -> None:
    """A second opinion where the start was too far off: the model's own pose, then random consensus."""
    starts = []
    own = samples.cameras[g]
    if own.c2w is not None and own.same_scale:
        starts.append((own.c2w[t, :3, :3], own.c2w[t, :3, 3]))
    elif own.c2w is not None:
        starts.append((relative_poses(own.c2w)[t, :3, :3], found.c[k]))
    use = weight > 0
    if use.sum() >= 12:
        seen, _, _, inliers = _ransac(X[use], xy[use], focal)
        if inliers is not None:
            starts.append(seen)
    for R, c in starts:
        other = resect(X[None], weight[None], xy, np.array([focal]), R[None], c[None])
        if other.share[0] > found.share[k]:
            found.R[k], found.c[k], found.share[k], found.error[k] = (
                other.R[0],
                other.c[0],
                other.share[0],
                other.error[0],
            )


def _ransac(X: np.ndarray, xy: np.ndarray, focal: float):
    K = np.array([[focal, 0, 0], [0, focal, 0], [0, 0, 1.0]])
    # In thousandths of the longer side, as OpenCV's tolerances suit pixels.
    K[:2] *= 1000
    cv2.setRNGSeed(1)
    try:
        found, turn, shift, inliers = cv2.solvePnPRansac(
            X.astype(np.float64),
            1000 * xy.astype(np.float64),
            K,
            None,
            iterationsCount=60,
            reprojectionError=15.0,
            flags=cv2.SOLVEPNP_SQPNP,
        )
    except cv2.error:  # points that all lie in one place
        found = False
    if not found or inliers is None:
        return None, None, None, None
    if not (np.isfinite(turn).all() and np.isfinite(shift).all()):
        return None, None, None, None
    R = cv2.Rodrigues(turn)[0].T
    return (R, -R @ shift[:, 0]), turn, shift, inliers


@dataclass
class Pair:
    """Similarity from window ``b``'s axes to window ``a``'s, from their shared frames."""

    a: int
    b: int
    scale: float
    R: np.ndarray
    t: np.ndarray
    agreement: float  # share of shared pixels whose depths agree at this scale
    frames: int


def register_pairs(samples: Samples, local: LocalCameras) -> list[Pair]:
    """All pairs of windows that share frames, by medians over pixels and frames."""
    pairs = []
    holds = [dict(zip(f.tolist(), s.tolist(), strict=True)) for f, s in zip(samples.frames, samples.slots, strict=True)]
    partners: dict[int, set[int]] = {}
    for row in samples.window:
        here = sorted(row[row >= 0].tolist())
        for i, a in enumerate(here):
            partners.setdefault(a, set()).update(here[i + 1 :])
    for a, others in sorted(partners.items()):
        for b in sorted(others):
            shared = np.array(sorted(set(holds[a]) & set(holds[b])))
            sa, sb = (np.array([holds[g][f] for f in shared.tolist()]) for g in (a, b))
            pair = _register(a, b, shared, sa, sb, local)
            if pair is not None:
                pairs.append(pair)
    return pairs


def _register(a, b, f, sa, sb, local: LocalCameras) -> Pair | None:
    za, zb = local.depth[f, sa], local.depth[f, sb]
    both = (za > 0) & (zb > 0)
    if both.sum() < 20:
        return None
    ratio = np.log(za[both]) - np.log(zb[both])
    log_scale = float(np.median(ratio))
    scale = float(np.exp(log_scale))
    turn = local.R[f, sa] @ np.swapaxes(local.R[f, sb], 1, 2)
    R = mean_rotation(turn)
    for _ in range(5):
        angle = np.linalg.norm(turn - R, axis=(1, 2))
        R = mean_rotation(turn, 1 / np.maximum(angle, 1e-3))
    offsets = local.c[f, sa] - scale * local.c[f, sb] @ R.T
    agreement = float((np.abs(ratio - log_scale) < _DEPTH_AGREES).mean())
    spread = float(np.median(np.linalg.norm(turn - R, axis=(1, 2)))) / np.sqrt(2)
    agreement *= 1.0 if spread < 0.1 else 0.1 / spread
    return Pair(a, b, scale, R, np.median(offsets, axis=0), agreement, len(f))


def judge(samples: Samples, local: LocalCameras, pairs: list[Pair]) -> np.ndarray:
    """(G,) bool: windows that hold usable shapes and do not contradict those around them.

    Where nearly nothing agrees, there is no majority to contradict, and what is finite stays.
    """
    count = len(samples.frames)
    share = np.array(
        [np.median(local.share[f, s]) if len(f) else 0.0 for f, s in zip(samples.frames, samples.slots, strict=True)]
    )
    ok = (samples.valid_share > _LEAST_SHARE) & (share > 0)
    if not ok.any():
        return samples.valid_share > 0
    ok &= share > 0.4 * np.median(share[ok])
    usual = np.median([p.agreement for p in pairs if ok[p.a] and ok[p.b]] or [0.0])
    if usual < 0.1:
        return ok
    while True:
        between = [p for p in pairs if ok[p.a] and ok[p.b]]
        votes: list[list[float]] = [[] for _ in range(count)]
        for p in between:
            votes[p.a].append(p.agreement)
            votes[p.b].append(p.agreement)
        typical = np.array([np.median(v) if v else np.inf for v in votes])
        worst = int(np.argmin(np.where(ok, typical, np.inf)))
        if not typical[worst] < 0.5 * usual:
            return ok
        ok[worst] = False


def chain(
    samples: Samples, local: LocalCameras, pairs: list[Pair], ok: np.ndarray, focal: np.ndarray
) -> tuple[World, list[int]]:
    """Windows placed one after the other on those already placed, then each frame's camera as their median.

    Also the windows that share no frame with those before them, whose place and scale are guesses.
    """
    F, _ = samples.window.shape
    count = len(samples.frames)
    world = World(
        np.tile(np.eye(3), (F, 1, 1)),
        np.zeros((F, 3)),
        np.full(F, common_focal(focal[ok])),
        np.ones(count),
        np.tile(np.eye(3), (count, 1, 1)),
        np.zeros((count, 3)),
        ok.copy(),
        np.zeros(F, dtype=bool),
    )
    links: dict[int, list[Pair]] = {}
    for p in pairs:
        links.setdefault(p.a, []).append(p)
        links.setdefault(p.b, []).append(p)
    placed: list[int] = []
    loose: list[int] = []
    for g in np.flatnonzero(ok).tolist():
        known = [p for p in links.get(g, []) if (p.a if p.b == g else p.b) in placed]
        if not placed:
            _put(world, g, *_centred(samples, local, g))
        elif known:
            best = max(known, key=lambda p: p.agreement * np.sqrt(p.frames))
            _attach(world, g, best)
        else:
            _continue(world, samples, local, g, placed[-1])
            loose.append(g)
        placed.append(g)
    for frame in range(F):
        slots = [m for m, g in enumerate(samples.window[frame]) if g >= 0 and ok[g]]
        if slots:
            _average(world, samples, local, frame, slots)
    for g in np.flatnonzero(ok):
        if samples.cameras[g].focal_ratios is not None:
            world.focal[samples.frames[g]] = frame_focals(samples, g, focal[g])
    return world, loose


def _centred(samples, local, g):
    """Window g's first camera at the origin, its median depth 1."""
    f, m = samples.frames[g], samples.slots[g]
    depth = local.depth[f, m]
    scale = 1.0 / float(np.median(depth[depth > 0])) if (depth > 0).any() else 1.0
    R = local.R[f[0], m[0]].T
    return scale, R, -scale * R @ local.c[f[0], m[0]]


def _put(world, g, scale, R, t):
    world.scale[g], world.rotation[g], world.shift[g] = scale, R, t


def _attach(world: World, g: int, pair: Pair) -> None:
    if pair.b == g:
        other, s, R, t = pair.a, pair.scale, pair.R, pair.t
    else:
        other, s, R = pair.b, 1 / pair.scale, pair.R.T
        t = -s * R @ pair.t
    S, Q, T = world.scale[other], world.rotation[other], world.shift[other]
    _put(world, g, S * s, Q @ R, S * Q @ t + T)


def _continue(world, samples, local, g, previous) -> None:
    """Without a shared frame: from where the previous window's last camera stood, at its depth."""
    f, m = samples.frames[previous][-1], samples.slots[previous][-1]
    R = world.rotation[previous] @ local.R[f, m]
    c = world.scale[previous] * world.rotation[previous] @ local.c[f, m] + world.shift[previous]
    f2, m2 = samples.frames[g][0], samples.slots[g][0]
    z, z2 = local.depth[f, m], local.depth[f2, m2]
    s = 1.0
    if (z > 0).any() and (z2 > 0).any():
        s = world.scale[previous] * float(np.median(z[z > 0]) / np.median(z2[z2 > 0]))
    Q = R @ local.R[f2, m2].T
    _put(world, g, s, Q, c - s * Q @ local.c[f2, m2])


def _average(world, samples, local, frame, slots) -> None:
    g = samples.window[frame, slots]
    R = world.rotation[g] @ local.R[frame, slots]
    c = world.scale[g, None] * (world.rotation[g] @ local.c[frame, slots][..., None])[..., 0] + world.shift[g]
    world.R[frame], world.c[frame] = mean_rotation(R), np.median(c, axis=0)
    world.posed[frame] = True
