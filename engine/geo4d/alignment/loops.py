"""Places that the camera sees again much later: what drifted apart on the way there is brought together.

Windows meet only their neighbours, so that small errors of scale, turn and place add up along the shot. Where a camera
looks at surfaces that an earlier one saw, the two shapes are registered (point to plane, Chen and Medioni 1992, with a
scale), and what they are apart is shared out over the windows between them. Shapes alone are compared, no pictures:
two places of the same shape are taken for one, but for a cost that lets what contradicts the rest go.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.rotation import rotations_from_vectors
from .registration import World
from .resection import camera_points
from .residuals import Spreads, window_depths
from .samples import Samples

_NODES = 150  # windows whose corrections are unknowns; those between are interpolated
_LEAST_OVERLAP = 0.35  # share of a frame's points that another frame sees at about their place, both ways
_ABOUT = 0.25  # of depth
_NEAR = 0.15  # of depth: points farther from the surface are not matched
_LEAST_MATCHED = 0.4
_PARTNERS = 2  # loops from one window
_POINTS = 150  # to look for overlap
_ROUNDS = 12
_ALIKE = 50.0  # pixels whose errors are alike
_GAP = 30.0  # times a step's doubt, where windows share no frame
# Standard deviations of log scale, turn (radians) and place (in median depths): of the step from one window to the
# next, and of shapes of one place, which networks warp anew each time.
_USUAL_SPREAD = 0.02  # of log depth between windows, at which steps err so much; by less, they err less
_STEP = np.array([3e-3, *[2e-3] * 3, *[3e-3] * 3])
_SHAPE = np.array([1e-2, *[5e-3] * 3, *[1e-2] * 3])


@dataclass
class Loop:
    """What moves shapes of node ``a`` onto those of node ``b``: log scale, turn and place about ``a``'s camera."""

    a: int
    b: int
    move: np.ndarray  # (7,)
    information: np.ndarray  # (7, 7)


@dataclass
class View:
    """The shape of one frame, world units; a grid of rows x columns."""

    points: np.ndarray  # (N, 3) in camera axes, z = 0 where there is none
    normals: np.ndarray  # (N, 3) in camera axes, 0 where there is none
    R: np.ndarray
    c: np.ndarray
    focal: float

    def world(self) -> np.ndarray:
        return self.points @ self.R.T + self.c


def close_loops(samples: Samples, world: World, spreads: Spreads) -> tuple[World, int]:
    """The world less its drift, as far as places seen again tell of it, and how many of these there are."""
    windows = np.array([g for g in np.flatnonzero(world.ok) if len(samples.frames[g])])
    span = max((int(np.ptp(samples.frames[g])) + 1 for g in windows), default=1)
    nodes = windows[:: max(1, -(-len(windows) // _NODES))]
    middle = np.array([samples.frames[g][len(samples.frames[g]) // 2] for g in nodes], dtype=np.int64)
    nodes, middle = nodes[np.argsort(middle, kind="stable")], np.sort(middle)
    if len(nodes) < 3 or middle[-1] - middle[0] <= 2 * span:
        return world, 0
    views = [_view(samples, world, int(f)) for f in middle]
    loops = []
    for a, b in _candidates(samples, views, middle, 2 * span):
        loop = _register(samples, views, a, b, spreads)
        if loop is not None:
            loops.append(loop)
    if not loops:
        return world, 0
    # Loops between the same windows, or some that share frames with these, have the same errors.
    ends = np.array([[middle[loop.a], middle[loop.b]] for loop in loops])
    alike = (np.abs(ends[:, None] - ends) < span).all(2).sum(1)
    for loop, count in zip(loops, alike, strict=True):
        loop.information = loop.information / count
    size = float(np.median([np.median(v.points[v.points[:, 2] > 0, 2]) for v in views if (v.points[:, 2] > 0).any()]))
    centre = np.array([v.c for v in views])
    doubt = min(1.0, spreads.depth / _USUAL_SPREAD) * _STEP
    moves, trusted = _settle(loops, centre, np.where(np.diff(middle) < span, 1.0, _GAP)[:, None] * doubt, size)
    return _moved(samples, world, middle, centre, moves), trusted


def _view(samples: Samples, world: World, frame: int) -> View:
    used = [m for m, g in enumerate(samples.window[frame]) if g >= 0 and world.ok[g]]
    z, w = window_depths(samples, world, np.full(len(used), frame), np.array(used))
    z = np.ma.median(np.ma.masked_array(z, w <= 0), axis=0).filled(0.0)
    # Outliers of single pixels would spoil the normals of all their neighbours.
    z = cv2.medianBlur(z.reshape(samples.rows, samples.columns).astype(np.float32), 3).ravel().astype(np.float64)
    rays = np.concatenate([samples.xy / world.focal[frame], np.ones((len(samples.xy), 1))], axis=1)
    grid = (rays * z[:, None]).reshape(samples.rows, samples.columns, 3)
    normals = np.zeros_like(grid)
    right, down = grid[1:-1, 2:] - grid[1:-1, :-2], grid[2:, 1:-1] - grid[:-2, 1:-1]
    n = np.cross(right, down)
    length = np.linalg.norm(n, axis=-1)
    around = np.stack([grid[1:-1, 2:, 2], grid[1:-1, :-2, 2], grid[2:, 1:-1, 2], grid[:-2, 1:-1, 2]])
    smooth = (around.min(0) > 0) & (np.ptp(around, axis=0) < 0.2 * grid[1:-1, 1:-1, 2]) & (length > 0)
    normals[1:-1, 1:-1] = np.where(smooth[..., None], n / np.maximum(length, 1e-12)[..., None], 0.0)
    return View(grid.reshape(-1, 3), normals.reshape(-1, 3), world.R[frame], world.c[frame], float(world.focal[frame]))


def _seen(samples: Samples, X: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World points (n, 3) in the view's axes, the pixel (n,) of its grid that sees them, and whether one does."""
    Y = camera_points(X[None], view.R[None], view.c[None])[0]
    ahead = Y[:, 2] > 1e-6
    p = view.focal * Y[:, :2] / np.where(ahead, Y[:, 2], 1.0)[:, None]
    half = np.array([samples.picture.width, samples.picture.height]) / samples.picture.longer
    place = np.floor((p / half + 0.5) * [samples.columns, samples.rows])
    inside = ahead & (place >= 0).all(1) & (place < [samples.columns, samples.rows]).all(1)
    place = np.where(inside[:, None], place, 0).astype(np.int64)
    return Y, place[:, 1] * samples.columns + place[:, 0], inside


def _candidates(samples: Samples, views: list[View], middle: np.ndarray, gap: int) -> list[tuple[int, int]]:
    """Pairs of nodes at least ``gap`` frames apart that see each other's surfaces, the best few of each."""
    some = np.linspace(0, len(samples.xy) - 1, min(_POINTS, len(samples.xy))).astype(int)
    share = np.zeros((len(views), len(views)))
    for i, one in enumerate(views):
        some_i = some[one.points[some, 2] > 0]
        if len(some_i) < 10:
            continue
        X = one.world()[some_i]
        for j in np.flatnonzero(np.abs(middle - middle[i]) >= gap):
            Y, pixel, inside = _seen(samples, X, views[j])
            z = views[j].points[pixel, 2]
            share[i, j] = (inside & (z > 0) & (np.abs(Y[:, 2] - z) < _ABOUT * z)).mean()
    both = np.minimum(share, share.T)
    pairs = set()
    for i in range(len(views)):
        for j in np.argsort(-both[i])[:_PARTNERS]:
            if both[i, j] >= _LEAST_OVERLAP:
                pairs.add((max(i, int(j)), min(i, int(j))))
    return sorted(pairs)


def _register(samples: Samples, views: list[View], a: int, b: int, spreads: Spreads) -> Loop | None:
    """The similarity of a's shape onto b's surface; None where too little of it fits."""
    source, target = views[a], views[b]
    known = source.points[:, 2] > 0
    d0 = (source.points[known]) @ source.R.T  # from the camera
    size = float(np.median(source.points[known, 2]))
    scale, R, shift = 1.0, np.eye(3), np.zeros(3)
    for _ in range(_ROUNDS):
        d = scale * d0 @ R.T
        Y, pixel, inside = _seen(samples, source.c + d + shift, target)
        q, n = target.points[pixel], target.normals[pixel]
        z = np.maximum(q[:, 2], 1e-9)
        off = Y - q
        use = inside & (q[:, 2] > 0) & (np.abs(n).sum(1) > 0) & ((off * off).sum(1) < (_NEAR * z) ** 2)
        if use.sum() < max(_ALIKE, _LEAST_MATCHED * inside.sum()):
            return None
        normal = n[use] @ target.R.T
        r = (off[use] * n[use]).sum(1) / z[use]
        arm = d[use]
        J = np.concatenate([(arm * normal).sum(1)[:, None], np.cross(arm, normal), size * normal], axis=1)
        J /= z[use, None]
        width = max(1.48 * float(np.median(np.abs(r))), 0.5 * spreads.depth)
        w = 1 / (1 + (r / (2 * width)) ** 2)
        H = (J * w[:, None]).T @ J
        step = -np.linalg.solve(H + 1e-3 * np.trace(H) / 7 * np.eye(7), (J * w[:, None]).T @ r)
        step = np.clip(step, -0.1, 0.1)
        turn = rotations_from_vectors(step[1:4])
        scale, R, shift = scale * float(np.exp(step[0])), turn @ R, shift + size * step[4:]
        if np.abs(step).max() < 1e-4:
            break
    cosine = np.clip((np.trace(R) - 1) / 2, -1, 1)
    axis = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    angle = np.arccos(cosine)
    turn = axis * (angle / np.sin(angle) if angle > 1e-6 else 1.0)
    move = np.array([np.log(scale), *turn, *shift])
    units = np.array([1.0, 1, 1, 1, size, size, size])
    information = H / (_ALIKE * width**2)
    doubt = np.linalg.inv(information + 1e-3 * np.eye(7)) + np.diag(_SHAPE**2)
    return Loop(a, b, move, np.linalg.inv(doubt) / np.outer(units, units))


def _settle(loops: list[Loop], centre: np.ndarray, doubt: np.ndarray, size: float) -> tuple[np.ndarray, int]:
    """Moves (K, 7) of the nodes about their cameras (K, 3), and how many loops they follow.

    ``doubt`` (K - 1, 7) of the steps from node to node, places in units of ``size``.
    """
    K = len(centre)
    units = np.array([1.0, 1, 1, 1, size, size, size])
    weight = np.zeros(len(loops))
    moves = np.zeros((K, 7))
    for step in range(8):
        H, g = np.zeros((K, 7, K, 7)), np.zeros((K, 7))
        H[0, :, 0, :] += 1e12 * np.eye(7)  # the world itself may move freely: it is held where it begins
        for k in range(K - 1):
            _add(H, g, k, k + 1, centre, np.zeros(7), np.diag(1 / (doubt[k] * units) ** 2))
        for n, loop in enumerate(loops):
            off = loop.move - moves[loop.a] + _carried(centre[loop.a] - centre[loop.b]) @ moves[loop.b]
            weight[n] = 1 / (1 + off @ loop.information @ off / (4 * 7)) if step else 1.0
            _add(H, g, loop.a, loop.b, centre, loop.move, weight[n] * loop.information)
        moves = np.linalg.solve(H.reshape(7 * K, 7 * K), g.ravel()).reshape(K, 7)
    return moves, int((weight > 0.5).sum())


def _carried(arm: np.ndarray) -> np.ndarray:
    """(7, 7): a move about one place as the move about a place ``arm`` farther."""
    C = np.eye(7)
    x, y, z = arm
    C[4:, 0] = arm
    C[4:, 1:4] = -np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return C


def _add(H, g, a: int, b: int, centre: np.ndarray, move: np.ndarray, information: np.ndarray) -> None:
    """Equations of ``moves[a] - carried moves[b] = move``."""
    C = _carried(centre[a] - centre[b])
    H[a, :, a, :] += information
    H[b, :, b, :] += C.T @ information @ C
    H[a, :, b, :] -= information @ C
    H[b, :, a, :] -= C.T @ information
    g[a] += information @ move
    g[b] -= C.T @ information @ move


def _moved(samples: Samples, world: World, middle: np.ndarray, centre: np.ndarray, moves: np.ndarray) -> World:
    """The world with every camera and window moved as the nodes around it in time are."""
    new = world.copy()

    def at(time: np.ndarray, place: np.ndarray) -> np.ndarray:
        after = np.clip(np.searchsorted(middle, time), 1, len(middle) - 1)
        share = np.clip((time - middle[after - 1]) / np.maximum(middle[after] - middle[after - 1], 1e-9), 0, 1)[:, None]
        ends = [
            np.array([_carried(p - centre[k]) @ moves[k] for p, k in zip(place, nodes, strict=True)]).reshape(-1, 7)
            for nodes in (after - 1, after)
        ]
        return (1 - share) * ends[0] + share * ends[1]

    frames = np.flatnonzero(world.posed)
    move = at(frames.astype(float), world.c[frames])
    new.R[frames] = rotations_from_vectors(move[:, 1:4]) @ world.R[frames]
    new.c[frames] = world.c[frames] + move[:, 4:]
    windows = np.array([g for g in np.flatnonzero(world.ok) if len(samples.frames[g])])
    time = np.array([np.median(samples.frames[g]) for g in windows])
    place = np.array([world.c[samples.frames[g]].mean(0) for g in windows])
    move = at(time, place)
    turn, grow = rotations_from_vectors(move[:, 1:4]), np.exp(move[:, 0])
    new.scale[windows] = grow * world.scale[windows]
    new.rotation[windows] = turn @ world.rotation[windows]
    arm = (turn @ (world.shift[windows] - place)[..., None])[..., 0]
    new.shift[windows] = grow[:, None] * arm + place + move[:, 4:]
    return new
