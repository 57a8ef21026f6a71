"""Which other frames see a frame's scene from usefully different places."""

import numpy as np

from .working_frames import WorkingFrames

# Parallax to look for, in pixels of a map of 448 x 336, on each side in time.
TARGET_PARALLAX_PX = (6.0, 14.0, 27.0)
MIN_PARALLAX_PX = 1.0
MIN_OVERLAP = 0.45
MAX_GAP_S = 4.0  # light, focus and movers change too much beyond
SHORT_GAP_S = 0.1  # a mover shows by its motion over about this long


def relative_translation(frames: WorkingFrames, i: int, j: np.ndarray) -> np.ndarray:
    """Centres of cameras j (n,) in the axes of camera i, world units, (n, 3)."""
    return (frames.c2w[j, :3, 3] - frames.c2w[i, :3, 3]) @ frames.c2w[i, :3, :3]


def parallax_table(frames: WorkingFrames, i: int, j: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median parallax and overlap of frames j (n,) with frame i.

    Parallax is the shift in pixels that remains once the rotation is taken out; overlap the share of frame
    i's points (P, 3, world) that frame j sees too.
    """
    w, h = frames.size
    lens = frames.lenses[i]
    K = lens.matrix
    in_i = (points - frames.c2w[i, :3, 3]) @ frames.c2w[i, :3, :3]
    pixel = in_i @ K.T
    with np.errstate(divide="ignore", invalid="ignore"):
        xy = pixel[:, :2] / pixel[:, 2:]
    seen = (in_i[:, 2] > 0) & np.all((xy > 0) & (xy < [w, h]), axis=1)
    if seen.sum() < 8:
        return np.zeros(len(j)), np.zeros(len(j))
    in_i, xy = in_i[seen], xy[seen]
    moved = in_i[None] - relative_translation(frames, i, j)[:, None]  # (n, P, 3) in axes of i
    with np.errstate(divide="ignore", invalid="ignore"):
        shifted = (moved @ K.T)[..., :2] / moved[..., 2:]
    ok = (moved[..., 2] > 0) & np.all(np.isfinite(shifted), axis=-1)
    shift = np.where(ok, np.linalg.norm(np.where(ok[..., None], shifted, 0) - xy, axis=-1), np.inf)
    R = np.einsum("nba,bc->nac", frames.c2w[j, :3, :3], frames.c2w[i, :3, :3])  # axes of i to axes of j
    in_j = np.einsum("nac,npc->npa", R, moved)
    with np.errstate(divide="ignore", invalid="ignore"):
        xy_j = (in_j @ K.T)[..., :2] / in_j[..., 2:]
    # Flow runs on j turned to look where i looks and cut to i's frame, so a point must lie in both.
    inside = ok & (in_j[..., 2] > 0) & np.all((xy_j > 0) & (xy_j < [w, h]), axis=-1)
    inside &= np.all((shifted > 0) & (shifted < [w, h]), axis=-1)
    return np.median(shift, axis=1), inside.mean(axis=1)


def choose_neighbours(frames: WorkingFrames, i: int, times: np.ndarray, points: np.ndarray, count: int) -> list[int]:
    """At most ``count`` frames for the depth of frame i, by parallax and overlap; none if nothing has parallax."""
    candidates = np.flatnonzero(np.abs(times - times[i]) <= MAX_GAP_S)
    candidates = candidates[candidates != i]
    if not len(candidates):
        return []
    parallax, overlap = parallax_table(frames, i, candidates, points)
    usable = (parallax >= MIN_PARALLAX_PX) & (overlap >= MIN_OVERLAP)
    candidates, parallax = candidates[usable], parallax[usable]
    scale = max(frames.size) / 448.0
    targets = np.array(TARGET_PARALLAX_PX) * scale
    chosen: list[int] = []
    side = np.sign(candidates - i)

    def take(group: np.ndarray, wanted: np.ndarray) -> None:
        for target in wanted:
            free = group[~np.isin(candidates[group], chosen)]
            if not len(free) or len(chosen) >= count:
                return
            # The distance in log parallax decides; among equals the frame nearest in time.
            cost = np.abs(np.log(parallax[free] / target)) + 0.1 * np.abs(times[candidates[free]] - times[i])
            best = free[np.argmin(cost)]
            chosen.append(int(candidates[best]))

    for sign in (-1, 1):
        take(np.flatnonzero(side == sign), targets)
    if len(chosen) < count:  # an end of the shot: more from the side that is there, between the targets
        take(np.arange(len(candidates)), np.concatenate([np.sqrt(targets[1:] * targets[:-1]), targets[-1:] * 1.4]))
    return chosen


def short_gap(times: np.ndarray, i: int) -> list[int]:
    """The frames about SHORT_GAP_S before and after frame i, at least one frame away."""
    out = []
    for sign in (-1, 1):
        side = np.arange(len(times))[::sign]
        side = side[(side - i) * sign > 0]
        if len(side):
            out.append(int(side[np.argmin(np.abs(np.abs(times[side] - times[i]) - SHORT_GAP_S))]))
    return out
