"""Bundle adjustment of our own: what COLMAP's cannot do, a lens that zooms and points with a soft depth.

Levenberg-Marquardt with the points eliminated (Schur complement; Triggs et al., "Bundle Adjustment: A Modern
Synthesis", 2000, sections 4 and 6) under Cauchy losses. Points are taken in chunks of tracks that live at about the
same time, so that a chunk touches few cameras and memory does not grow with the square of the shot.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..geometry.camera import Intrinsics
from ..progress import Progress

CHUNK = 128  # tracks eliminated at a time
ZOOM_SIGMA = 0.001  # change of the change of log focal length from frame to frame; heavy-tailed, zooms set in suddenly
K1_SIGMA = 0.3  # a radial term that the tracks say nothing of stays near 0


@dataclass
class Bundle:
    """Cameras, points and observations of one adjustment; every point is seen at least twice.

    Observations are sorted by track. ``depth`` is the z-depth that something else (a model) believes an observation
    to have, in world units; NaN where it says nothing.
    """

    c2w: np.ndarray  # (F, 4, 4)
    points: np.ndarray  # (N, 3)
    track: np.ndarray  # (M,) 0..N-1
    frame: np.ndarray  # (M,)
    xy: np.ndarray  # (M, 2) pixels
    lens: Intrinsics  # (F,) arrays, one lens a frame
    depth: np.ndarray | None = None  # (M,)
    depth_sigma: float = 0.1  # of log depth, for all observations of a track together
    cost: float = np.nan  # mean Cauchy cost per observation, log(1 + (error / loss_px)^2)


@dataclass(frozen=True)
class Freedom:
    """What of the lens may change."""

    focal: bool = True
    zoom: bool = False  # one focal length a frame, smooth in time, instead of one for all
    k1: bool = False


def adjust_bundle(
    bundle: Bundle, progress: Progress, free: Freedom, loss_px: float, iterations: int = 30, tolerance: float = 1e-5
) -> Bundle:
    """The bundle with less cost; poses, points and what ``free`` names have moved. The input stays as it is."""
    plan = _Plan(bundle)
    best, terms = _evaluated(bundle, loss_px, free)
    damping = 1e-3
    for iteration in range(iterations):
        progress.advance("adjust", iteration, iterations)
        system = _System(plan, best, terms, free, loss_px)
        while True:
            try:
                trial, trial_terms = _evaluated(_moved(best, system.step(damping), free), loss_px, free)
                if trial_terms.total < terms.total:
                    break
            except np.linalg.LinAlgError:
                progress.log("adjustment: the normal equations are singular, damped more")
            damping *= 8
            if damping > 1e6:
                return best
        gain = terms.total - trial_terms.total
        best, terms, damping = trial, trial_terms, max(damping / 6, 1e-9)
        if gain < tolerance * terms.total:
            break
    return best


def lens_sigma(bundle: Bundle, free: Freedom, loss_px: float) -> tuple[float, float]:
    """Standard deviations of the focal length (relative; with a zoom the median over frames) and of k1.

    From the curvature of the adjusted cost, everything else free to follow. The errors of a track in neighbouring
    frames are alike, so that a track counts as one observation in each eighth of its frames at most.
    """
    bundle, terms = _evaluated(bundle, loss_px, free)
    plan = _Plan(bundle)
    system = _System(plan, bundle, terms, free, loss_px)
    S, _, _ = system.reduced(1e-9)
    covariance = np.linalg.inv(S)
    e2 = np.minimum(np.sum(terms.r**2, axis=1), (10 * loss_px) ** 2)
    weight = 1 / (loss_px**2 + e2)
    variance = float(np.sum(weight * e2)) / max(1, 2 * len(e2) - len(S) - 3 * len(plan.tracks))
    length = np.diff(plan.begin)
    alike = float(np.sum(length) / np.sum(np.minimum(length, 8)))
    cut = system.frames * system.block
    sigma = np.sqrt(np.maximum(np.diag(covariance) * variance * alike, 0))
    focal = sigma[6:cut:7] if free.zoom else sigma[cut : cut + 1] if free.focal else np.zeros(1)
    return float(np.median(focal)), float(sigma[-1]) if free.k1 else 0.0


def linearise(bundle: Bundle, free: Freedom, loss_px: float) -> "_System":
    """The normal equations at ``bundle``."""
    bundle, terms = _evaluated(bundle, loss_px, free)
    return _System(_Plan(bundle), bundle, terms, free, loss_px)


@dataclass
class _Terms:
    """Residuals of a bundle: pixels (M, 2), log depth (M,), camera-space points (M, 3), and their costs."""

    r: np.ndarray
    e: np.ndarray
    p: np.ndarray
    total: float


def _evaluated(bundle: Bundle, loss_px: float, free: Freedom) -> tuple[Bundle, _Terms]:
    lens = bundle.lens.at(bundle.frame)
    pose = bundle.c2w[bundle.frame]
    p = np.einsum("mji,mj->mi", pose[:, :3, :3], bundle.points[bundle.track] - pose[:, :3, 3])
    ahead = p[:, 2] > 1e-9
    n = p[:, :2] / np.where(ahead, p[:, 2], 1.0)[:, None]
    r2 = np.sum(n * n, axis=1, keepdims=True)
    r = n * (1 + lens.k1 * r2) * lens.focal + lens.centre - bundle.xy
    # A point behind a camera has no direction to come back by: it counts as far off and pulls at nothing.
    r = np.where(ahead[:, None], r, 1e6)
    pixel = np.log1p(np.sum(r * r, axis=1) / loss_px**2)
    e = np.zeros(len(r))
    total = float(pixel.sum())
    if bundle.depth is not None:
        known = ahead & (bundle.depth > 0)
        e[known] = np.log(p[known, 2] / bundle.depth[known])
        total += float((_depth_information(bundle)[known] * _soft(e[known], bundle.depth_sigma)).sum())
    if free.zoom:
        total += zoom_prior(bundle.lens.fx)[0]
    if free.k1:
        total += (bundle.lens.k1 / K1_SIGMA) ** 2
    return replace(bundle, cost=float(pixel.mean())), _Terms(r, e, p, total)


def zoom_prior(focal_px: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Cost of a course of focal lengths (F,), its slope (F,) by their logarithms and its curvature (F, F).

    Cauchy losses of the second differences: most frames keep the pace of the zoom, a few begin or end it.
    """
    second = np.diff(np.eye(len(focal_px)), 2, axis=0)
    change = second @ np.log(focal_px)
    weighted = second / (ZOOM_SIGMA**2 + change**2)[:, None]
    return float(np.log1p((change / ZOOM_SIGMA) ** 2).sum()), weighted.T @ change, weighted.T @ second


def _depth_information(bundle: Bundle) -> np.ndarray:
    """Share (M,) of one prior that each observation of a track carries: predictions of one place err alike."""
    known = np.bincount(bundle.track, bundle.depth > 0, minlength=len(bundle.points))
    return 1.0 / np.maximum(known, 1)[bundle.track]


def _soft(e: np.ndarray, sigma: float) -> np.ndarray:
    return np.log1p((e / sigma) ** 2)


class _Plan:
    """Order of the tracks and their chunks, found once: tracks that begin together are eliminated together."""

    def __init__(self, bundle: Bundle):
        track, frame, count = bundle.track, bundle.frame, len(bundle.points)
        starts = np.searchsorted(track, np.arange(count + 1))
        filled = np.flatnonzero(starts[1:] > starts[:-1])
        first, last = frame[starts[filled]], frame[starts[filled + 1] - 1]
        order = filled[np.lexsort((last, first // 8))]
        size = (starts[1:] - starts[:-1])[order]
        begin = np.concatenate([[0], np.cumsum(size)])
        self.rows = np.repeat(starts[order] - begin[:-1], size) + np.arange(begin[-1])
        self.tracks = order
        self.begin = begin
        self.chunks = []
        for a in range(0, len(order), CHUNK):
            b = min(a + CHUNK, len(order))
            inside = frame[self.rows[begin[a] : begin[b]]]
            self.chunks.append((a, b, int(inside.min()), int(inside.max()) + 1))


class _System:
    """Normal equations of one linearisation, solved for as many dampings as it takes."""

    def __init__(self, plan: _Plan, bundle: Bundle, terms: _Terms, free: Freedom, loss_px: float):
        self.plan, self.frames = plan, len(bundle.c2w)
        self.count = len(bundle.points)
        self.block = 7 if free.zoom else 6
        self.shared = int(free.focal and not free.zoom) + int(free.k1)
        rows = plan.rows
        self.frame, self.track = bundle.frame[rows], bundle.track[rows]
        r, e, p = terms.r[rows], terms.e[rows], terms.p[rows]
        lens = bundle.lens.at(self.frame)
        pixel, focal = _projection_jacobian(p, lens)
        weight = 1.0 / (loss_px**2 + np.sum(r * r, axis=1))
        weight[r[:, 0] > 1e5] = 0.0
        # Third residual: log depth. Its rows are zero where nothing is believed.
        J = np.zeros((len(r), 3, 3))
        J[:, :2] = pixel
        J[:, 2, 2] = 1.0 / np.maximum(p[:, 2], 1e-9)
        R = np.column_stack([r, e])
        W = np.zeros((len(r), 3))
        W[:, :2] = weight[:, None]
        if bundle.depth is not None:
            share = _depth_information(bundle)[rows]
            believed = (bundle.depth[rows] > 0) & (p[:, 2] > 1e-9)
            W[:, 2] = np.where(believed, share / (bundle.depth_sigma**2 + e * e), 0.0)
        root = np.sqrt(W)
        J, R = J * root[:, :, None], R * root
        cross = np.zeros((len(p), 3, 3))  # [p]x: how p moves when the camera turns
        cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -p[:, 2], p[:, 1], -p[:, 0]
        cross -= cross.transpose(0, 2, 1)
        columns = [J @ cross, -J]
        zoom = np.zeros((len(p), 3, 1))
        zoom[:, :2, 0] = focal * root[:, :2]
        shared = []
        if free.zoom:
            columns.append(zoom)
        elif free.focal:
            shared.append(zoom)
        if free.k1:
            n = p[:, :2] / np.where(p[:, 2] > 1e-9, p[:, 2], 1.0)[:, None]
            bend = np.zeros((len(p), 3, 1))
            bend[:, :2, 0] = n * np.sum(n * n, axis=1, keepdims=True) * lens.focal * root[:, :2]
            shared.append(bend)
        Jc = np.concatenate(columns, axis=2)  # (M, 3, block)
        Js = np.concatenate(shared, axis=2) if shared else np.zeros((len(p), 3, 0))
        Jx = J @ bundle.c2w[self.frame, :3, :3].transpose(0, 2, 1)
        self._assemble(Jc, Js, Jx, R, bundle, free)

    def _assemble(self, Jc, Js, Jx, R, bundle: Bundle, free: Freedom) -> None:
        F, B, s = self.frames, self.block, self.shared
        size = F * B + s
        both = np.concatenate([Jc, Js], axis=2)
        A = np.zeros((size, size))
        g = np.zeros(size)
        product = _sum_by(self.frame, both.transpose(0, 2, 1) @ both, F)
        for f in range(F):
            a = slice(f * B, f * B + B)
            A[a, a] = product[f, :B, :B]
            A[a, F * B :] = product[f, :B, B:]
            A[F * B :, a] = product[f, B:, :B]
        A[F * B :, F * B :] = product[:, B:, B:].sum(0)
        slope = _sum_by(self.frame, np.einsum("mij,mi->mj", both, R), F)
        g[: F * B] = slope[:, :B].ravel()
        g[F * B :] = slope[:, B:].sum(0)
        if free.zoom:
            at = np.arange(F) * B + 6
            _, slope, bend = zoom_prior(bundle.lens.fx)
            A[np.ix_(at, at)] += bend
            g[at] += slope
        if free.k1:
            A[-1, -1] += 1 / K1_SIGMA**2
            g[-1] += bundle.lens.k1 / K1_SIGMA**2
        starts = self.plan.begin[:-1]
        self.A, self.g = A, g
        self.V = np.add.reduceat(Jx.transpose(0, 2, 1) @ Jx, starts)
        self.h = np.add.reduceat(np.einsum("mij,mi->mj", Jx, R), starts)
        self.W = Jc.transpose(0, 2, 1) @ Jx  # (M, block, 3)
        self.Ws = np.add.reduceat(Js.transpose(0, 2, 1) @ Jx, starts)  # (tracks, shared, 3)
        self._rows = (both, Jx, R)

    def step(self, damping: float):
        """Changes: (frames, block) of cameras, (shared,) of the lens, (N, 3) of points."""
        S, b, L = self.reduced(damping)
        x = -np.linalg.solve(S, b)
        cut = self.frames * self.block
        cameras, shared = x[:cut].reshape(self.frames, self.block), x[cut:]
        moved = np.einsum("mbi,mb->mi", self.W, cameras[self.frame])
        pull = self.h + np.add.reduceat(moved, self.plan.begin[:-1]) + np.einsum("nsi,s->ni", self.Ws, shared)
        points = np.zeros((self.count, 3))
        points[self.plan.tracks] = -np.einsum("nij,nkj,nk->ni", L, L, pull)
        return cameras, shared, points

    def scores(self, goal: np.ndarray) -> np.ndarray:
        """What each observation (M,), in the order of the bundle, adds to the step of ``goal`` times the parameters.

        ``goal``: weights of the parameters of cameras and lens. The points follow.
        """
        S, _, L = self.reduced(1e-9)
        d = np.linalg.solve(S, goal)
        cut = self.frames * self.block
        both, Jx, R = self._rows
        mine = np.concatenate(
            [d[:cut].reshape(self.frames, self.block)[self.frame], np.tile(d[cut:], (len(R), 1))], axis=1
        )
        moved = np.einsum("mij,mj->mi", both, mine)
        pull = np.add.reduceat(np.einsum("mij,mi->mj", Jx, moved), self.plan.begin[:-1])
        points = np.zeros((self.count, 3))
        points[self.plan.tracks] = -np.einsum("nij,nkj,nk->ni", L, L, pull)
        moved += np.einsum("mij,mj->mi", Jx, points[self.track])
        out = np.empty(len(R))
        out[self.plan.rows] = -np.einsum("mi,mi->m", moved, R)
        return out

    def reduced(self, damping: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Normal matrix and right side of cameras and lens without the points, and the points' inverse roots."""
        F, B, s, plan = self.frames, self.block, self.shared, self.plan
        diagonal = np.arange(3)
        V = self.V.copy()
        mean = np.trace(V, axis1=1, axis2=2)
        V[:, diagonal, diagonal] += damping * V[:, diagonal, diagonal] + 1e-12 * mean[:, None] + 1e-12
        L = np.linalg.cholesky(np.linalg.inv(V))
        S, b = self.A.copy(), self.g.copy()
        size = len(b)
        S[np.arange(size), np.arange(size)] *= 1 + damping
        S[np.arange(size), np.arange(size)] += 1e-9
        lens = slice(F * B, size)
        for a, e, low, high in plan.chunks:
            rows = slice(plan.begin[a], plan.begin[e])
            n, window = e - a, high - low
            local = np.repeat(np.arange(n), np.diff(plan.begin[a : e + 1]))
            E = np.zeros((n, window, B, 3))
            E[local, self.frame[rows] - low] = self.W[rows]
            E = E.reshape(n, window * B, 3)
            G = (np.concatenate([E, self.Ws[a:e]], axis=1) @ L[a:e]).transpose(1, 0, 2).reshape(window * B + s, 3 * n)
            right = np.einsum("nji,nj->ni", L[a:e], self.h[a:e]).ravel()
            cut, toward = G @ G.T, G @ right
            here = slice(low * B, high * B)
            inner = window * B
            S[here, here] -= cut[:inner, :inner]
            S[here, lens] -= cut[:inner, inner:]
            S[lens, here] -= cut[inner:, :inner]
            S[lens, lens] -= cut[inner:, inner:]
            b[here] -= toward[:inner]
            b[lens] -= toward[inner:]
        return S, b, L


def _projection_jacobian(p: np.ndarray, lens: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """Pixels by camera-space points (M, 2, 3), and by the logarithm of the focal length (M, 2)."""
    z = np.where(p[:, 2] > 1e-9, p[:, 2], 1.0)
    n = p[:, :2] / z[:, None]
    r2 = np.sum(n * n, axis=1)
    D = (1 + lens.k1 * r2)[:, None, None] * np.eye(2) + 2 * lens.k1 * n[:, :, None] * n[:, None, :]
    by_point = np.zeros((len(p), 2, 3))
    by_point[:, 0, 0] = by_point[:, 1, 1] = 1 / z
    by_point[:, :, 2] = -n / z[:, None]
    focal = np.broadcast_to(lens.focal, n.shape)
    return focal[:, :, None] * (D @ by_point), focal * n * (1 + lens.k1 * r2)[:, None]


def _sum_by(group: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Sums (count, ...) of values (M, ...) by group (M,)."""
    flat = values.reshape(len(values), -1)
    sums = [np.bincount(group, flat[:, i], minlength=count) for i in range(flat.shape[1])]
    return np.stack(sums, axis=1).reshape(count, *values.shape[1:]) if sums else np.zeros((count, *values.shape[1:]))


def _moved(bundle: Bundle, step, free: Freedom) -> Bundle:
    cameras, shared, points = step
    c2w = bundle.c2w.copy()
    R = c2w[:, :3, :3]
    c2w[:, :3, 3] += np.einsum("fij,fj->fi", R, cameras[:, 3:6])
    c2w[:, :3, :3] = R @ exponential(cameras[:, :3])
    lens = bundle.lens
    shared = list(shared)
    grow = np.zeros(len(c2w))
    if free.zoom:
        grow = cameras[:, 6]
    elif free.focal:
        grow = np.full(len(c2w), shared.pop(0))
    factor = np.exp(np.clip(grow, -0.2, 0.2))
    k1 = lens.k1 + float(np.clip(shared[0], -0.1, 0.1)) if free.k1 else lens.k1
    lens = replace(lens, fx=lens.fx * factor, fy=lens.fy * factor, k1=k1)
    return replace(bundle, c2w=c2w, points=bundle.points + points, lens=lens)


def exponential(w: np.ndarray) -> np.ndarray:
    """Rotation matrices (K, 3, 3) of rotation vectors (K, 3), Rodrigues' formula."""
    angle = np.linalg.norm(w, axis=1)[:, None, None]
    K = np.zeros((len(w), 3, 3))
    K[:, 0, 1], K[:, 0, 2], K[:, 1, 2] = -w[:, 2], w[:, 1], -w[:, 0]
    K -= K.transpose(0, 2, 1)
    small = angle < 1e-8
    safe = np.where(small, 1.0, angle)
    return (
        np.eye(3)
        + np.where(small, 1.0, np.sin(safe) / safe) * K
        + np.where(small, 0.5, (1 - np.cos(safe)) / safe**2) * (K @ K)
    )
