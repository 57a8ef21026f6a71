"""Dense depth of every frame from its neighbours and the solved cameras.

Flow to neighbours chosen by parallax, robust triangulation on each pixel's ray, movers by what their flow does
that no static point could, an edge-aware affine fill of what was not measured, movers placed by where they touch
the ground, the depth network's correction of all that, and at last agreement with the pictures and the maps of other
frames, near ones and those of the seconds around, which also makes movers whole (:mod:`.passes`).
"""

from collections.abc import Iterator, Set
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ..footage.shot import Shot
from ..matchmove.solve import Solve
from ..progress import Progress
from ..tracking.tracks import Tracks
from . import carried_motion, dynamic, fusion, ground, still_camera
from .composition import Composition
from .depth_frame import DepthFrame
from .fill import Guide, distrust_outliers, fill, fill_roughly
from .flow import DenseFlow, Match
from .kept_maps import KeptMaps, Maps
from .neighbours import MAX_GAP_S, choose_neighbours, short_gap
from .network import LearnedDepth
from .network_input import NetworkInput, network_input
from .passes import neighbours_of_pass, second_and_third
from .plane_sweep import Features, sweep
from .rounds import Round
from .track_evidence import collect
from .triangulation import observe, structure_tensor, triangulate
from .working_frames import WorkingFrames, depth_size, read_working_frames

__all__ = ["depth_size", "estimate_depth"]

NEIGHBOUR_COUNT = 6
# Weight of a solved point in the fill, where a well measured pixel has up to 1. Wrong points exist as well
# (reflections, foliage), and a single one must not outvote the measured pixels around it.
ANCHOR_WEIGHT = 0.3
LOOSE_SIGMA = 0.05  # relative uncertainty from which a measurement has little say
WEIGHT_POWER = 0.7  # errors of neighbouring pixels are alike, so many good ones count less than their number
SURE_OF_MOTION = 0.9  # probability that a fifth of a region must reach before it is placed as a mover
MOTION_SPAN_S = 0.35  # neighbours within this time tell movers


# What a frame measures on its own, the neighbours it asked, and its matches with the frames shortly around it.
Measured = tuple[fusion.Measurement, list[int], list[Match]]


def estimate_depth(
    shot: Shot,
    solve: Solve,
    tracks: Tracks,
    size: tuple[int, int],
    progress: Progress,
    have: Set[int] = frozenset(),
    network: LearnedDepth | None = None,
    folder: Path | None = None,
) -> Iterator[tuple[int, DepthFrame]]:
    """Depth maps of a shot, one frame after the other.

    Parameters
    ----------
    shot, solve, tracks : the footage, its cameras (one a frame) and its long tracks (may be empty).
    size : (w, h) of the maps, see :func:`depth_size`.
    have : positions whose maps exist already; they are not made again.
    network : the depth network that corrects the untrained depth; None leaves it as it is.
    folder : where unfinished maps are kept for a run that continues; None keeps them in memory. What is left there
        at the end is of no more use.

    Yields
    ------
    position in the shot and its DepthFrame, in order, for every position not in ``have``. A camera that does
    not travel measures no depth: for tripod and static shots depth and confidence are 0 and only ``dynamic``
    says something.
    """
    total = len(shot)
    missing = [i for i in range(total) if i not in have]
    if not missing:
        return
    frames = read_working_frames(shot, solve, size)
    times = np.asarray(shot.times, dtype=np.float64)
    with ThreadPoolExecutor(1) as helper, ExitStack() as at_end:
        # A run that is cancelled does not wait for what is still in the queue.
        at_end.callback(helper.shutdown, cancel_futures=True)
        maker = DepthMaker(frames, solve, tracks, times, network, helper)
        if solve.motion != "moving":
            progress.resume("depth", total - len(missing), total)
            for done, i in enumerate(missing, start=total - len(missing)):
                progress.advance("depth", done, total)
                yield i, maker.still(i)
            progress.advance("depth", total, total)
            return
        drafts, agreed = ({}, {}) if folder is None else (KeptMaps(folder / name) for name in ("drafts", "agreed"))
        if len(drafts) < total and len(agreed) < total:
            _draft(maker, drafts, total, progress)
    yield from second_and_third(frames, times, drafts, agreed, maker.neighbours, maker.floor, missing, progress)


def _draft(maker: "DepthMaker", drafts: Maps, total: int, progress: Progress) -> None:
    """Maps of the first pass of all frames that have none."""
    progress.resume("depth", len(drafts), total)
    progress.advance("depth", len(drafts), total)
    for i in range(total):
        if i not in drafts:
            drafts[i] = maker.frame(i)
            progress.advance("depth", len(drafts), total)


class DepthMaker:
    """Depth of single frames of one shot.

    With a ``helper`` of one thread, frames are measured there while others are being filled and corrected.
    """

    def __init__(
        self,
        frames: WorkingFrames,
        solve: Solve,
        tracks: Tracks,
        times: np.ndarray,
        network: LearnedDepth | None = None,
        helper: Executor | None = None,
    ):
        self.frames = frames
        self.network = network
        self.helper = helper
        self.times = times
        points = solve.points[np.all(np.isfinite(solve.points), axis=1)] if len(solve.points) else np.zeros((0, 3))
        rng = np.random.default_rng(0)
        self.points = points[rng.permutation(len(points))[:2000]]
        self.flow = DenseFlow()
        self.measured: dict[int, fusion.Measurement] = {}
        self.under_way: dict[int, Future[Measured]] = {}  # what the helper measures
        self.chosen: dict[int, list[int]] = {}  # neighbours of all frames that were ever measured
        self.brief: dict[int, list[Match]] = {}  # with the frames shortly before and after measured ones
        self.motion: dict[int, np.ndarray] = {}  # probability of it as each frame alone tells
        self.features: dict[int, Features] = {}
        self.round = Round(frames, self.single, lambda j: neighbours_of_pass(self.neighbours(j), 0))
        self.evidence = collect(tracks, solve, times, frames.size)
        self.floor = ground.fit_floor(points, frames.c2w) if solve.motion == "moving" else None

    def depth_limits(self, i: int) -> tuple[float, float]:
        """Nearest and farthest inverse depth worth believing in frame i (low, high)."""
        z = ((self.points - self.frames.c2w[i, :3, 3]) @ self.frames.c2w[i, :3, :3])[:, 2]
        z = z[z > 0]
        if len(z) < 8:
            return 1e-9, 1e9
        return 1 / (np.percentile(z, 98) * 20), 1 / (np.percentile(z, 2) * 0.25)

    def frame(self, i: int) -> DepthFrame:
        """Depth and motion of frame i in agreement with its neighbours' pictures, depth and motion: the first pass."""
        return self.with_agreed_motion(i, self.round.frame(i))

    def with_agreed_motion(self, i: int, frame: DepthFrame) -> DepthFrame:
        """Frame i's map with the motion that the network finds, there and shortly before and after."""
        matches = self.brief.pop(i, [])
        if i not in self.motion:
            return frame
        moving = carried_motion.in_agreement(i, self.motion, matches, self.frames)
        for kept, first in ((self.brief, i), (self.motion, min([i, *(match.j for match in matches)]))):
            for past in [j for j in kept if j < first]:
                del kept[past]
        return replace(frame, dynamic=moving)

    def single(self, i: int) -> DepthFrame:
        """Depth of frame i on its own."""
        composition = self.composition(i)
        if composition is None:
            empty = np.zeros(self.frames.rgb.shape[1:3], dtype=np.float32)
            return DepthFrame(empty, empty.copy(), self.measurement(i).moving)
        if self.network is None:
            return composition.frame()
        return self.corrected(i, composition)

    def corrected(self, i: int, composition: Composition) -> DepthFrame:
        """Frame i's composition as the network corrects it."""
        frame = self.network.refine(composition, *self.network_tensors(i, composition))
        self.motion[i] = frame.dynamic
        return frame

    def composition(self, i: int) -> Composition | None:
        """Untrained depth of frame i from its own measurement and its neighbours'; None where nothing was measured."""
        frames = self.frames
        # Frames are made in order, so what lies before every frame still to be asked for is not needed again.
        before = i + min(fusion.OFFSETS)
        for kept, first in ((self.measured, before), (self.under_way, before)):
            for past in [j for j in kept if j < first]:
                del kept[past]
        # The helper begins with the first of those still to be measured, this thread with the last.
        for j in (*self._sources(i), *self._sources(min(i + 1, len(frames) - 1))):
            self._begin(j)
        measured = {j: self.measurement(j) for j in reversed(self._sources(i))}
        own = measured.pop(i)
        borrowed = [
            fusion.project_measurement(other, frames.c2w[j], frames.c2w[i], frames.lenses[j], frames.lenses[i])
            for j, other in sorted(measured.items())
        ]
        d, weight = fusion.fuse(own, borrowed)
        self._anchor(i, d, weight)
        guide = Guide.of(frames.rgb[i])
        weight = distrust_outliers(d, weight, guide)
        if not np.any(weight > 0):
            return None
        return self._compose(i, d, weight, own.moving, guide)

    def network_tensors(self, i: int, composition: Composition) -> tuple[NetworkInput, np.ndarray]:
        """What the depth network sees of frame i: its maps and the plane sweep around the untrained static scene."""
        frames = self.frames
        anchors, none = np.zeros_like(composition.d), np.zeros_like(composition.d)
        self._anchor(i, anchors, none)
        tensors = network_input(frames.rgb[i], frames.lenses[i], composition, anchors)
        for past in [j for j in self.features if abs(self.times[j] - self.times[i]) > 1.1 * MAX_GAP_S]:
            del self.features[past]
        for j in (i, *self.neighbours(i)):
            if j not in self.features:
                self.features[j] = Features.of(frames.gray(j))
        return tensors, sweep(frames, i, self.neighbours(i), self.features, tensors.rough)

    def neighbours(self, i: int) -> list[int]:
        """Frames that see frame i's scene from elsewhere, ordered by parallax on each side; any thread may ask."""
        chosen = self.chosen.get(i)
        if chosen is None:  # a continued run whose frame was measured before
            chosen = choose_neighbours(self.frames, i, self.times, self.points, NEIGHBOUR_COUNT)
        return chosen

    def measurement(self, i: int) -> fusion.Measurement:
        """What frame i measures on its own; kept until :meth:`frame` has gone past it."""
        if i not in self.measured:
            under_way = self.under_way.pop(i, None)
            # What the helper has not begun with yet is measured here, instead of waiting for it.
            waited_for = under_way is not None and not under_way.cancel()
            self.measured[i], self.chosen[i], brief = under_way.result() if waited_for else self._measure(i)
            if self.network is not None:
                self.brief[i] = brief
        return self.measured[i]

    def _sources(self, i: int) -> list[int]:
        """Frames whose measurements make frame i's depth, itself among them."""
        around = [i + offset for offset in fusion.OFFSETS if 0 <= i + offset < len(self.times)]
        near = [j for j in around if abs(self.times[j] - self.times[i]) <= fusion.SPAN_S]
        return sorted([*near, i])

    def _begin(self, i: int) -> None:
        """Have frame i measured by the helper, where there is one."""
        if self.helper and i not in self.measured and i not in self.under_way:
            self.under_way[i] = self.helper.submit(self._measure, i)

    def _measure(self, i: int) -> Measured:
        frames, lens = self.frames, self.frames.lenses[i]
        w, h = frames.size
        guide = Guide.of(frames.rgb[i])
        chosen = self.neighbours(i)
        brief = short_gap(self.times, i)
        matches = {j: self.flow.match(frames, i, j) for j in dict.fromkeys([*chosen, *brief])}
        kept = [matches[j].in_half_precision() for j in brief]
        texture = structure_tensor(frames.gray(i))
        seen = {j: observe(m, lens, texture) for j, m in matches.items()}
        limits = self.depth_limits(i)
        if not chosen:
            empty = np.zeros((h, w), dtype=np.float32)
            return fusion.Measurement(empty, empty.copy(), empty.copy()), chosen, kept
        measured = triangulate([seen[j] for j in chosen], limits)
        relative = measured.sigma / np.maximum(measured.d, 1e-12)
        share = measured.agreeing / np.maximum(measured.possible, 1)
        good = (measured.agreeing >= 1.5) & (share > 0.35) & (relative < 0.1) & (measured.d > 0)
        weight = np.where(good, np.minimum(1e-4 / (relative + 0.01) ** 2, 1) * measured.agreeing / len(chosen), 0)
        weight *= flat(measured.d, good) / (1 + (np.minimum(relative, 1) / LOOSE_SIGMA) ** 4)
        weight = (weight**WEIGHT_POWER).astype(np.float32)
        anchored, anchored_weight = measured.d.copy(), weight.copy()
        self._anchor(i, anchored, anchored_weight)
        anchored_weight = distrust_outliers(anchored, anchored_weight, guide)
        d0 = np.clip(fill_roughly(anchored, anchored_weight, guide), *limits)
        d_sigma = np.where(good, measured.sigma, 0.15 * d0).astype(np.float32)
        near = [j for j in matches if abs(self.times[j] - self.times[i]) <= MOTION_SPAN_S or j in brief]
        score, believed = dynamic.residual_evidence(
            [seen[j] for j in near], [matches[j] for j in near], np.where(good, measured.d, d0), d_sigma
        )
        moving = dynamic.grow(dynamic.probability(score, believed, guide, self._votes(i)))
        measurement = fusion.Measurement(measured.d.astype(np.float32), weight, moving.astype(np.float32))
        return measurement, chosen, kept

    def _compose(self, i: int, measured_d, weight, moving, guide) -> Composition:
        """Static scene filled behind the movers, the movers put in front of it."""
        movers = [
            mask for mask in dynamic.groups(moving > dynamic.MOVES) if np.percentile(moving[mask], 80) > SURE_OF_MOTION
        ]
        hidden = np.any(movers, axis=0) if movers else np.zeros(moving.shape, dtype=bool)
        weight = np.where(hidden, 0, weight * (1 - moving)).astype(np.float32)
        d, support = fill(measured_d, weight, guide)
        if np.any(weight > 0):
            low, high = np.percentile(measured_d[weight > 0], [0.5, 99.8])
            d = np.clip(d, 0.6 * low, 1.3 * high)
        confidence = np.clip(support / max(float(np.percentile(support, 90)), 1e-12), 0, 1) * 0.9 + 0.05
        lens = self.frames.lenses[i]
        d_floor = self.floor.inverse_depth(self.frames.c2w[i], lens) if self.floor else None
        static = d
        for mask in movers:
            touch = ground.contact(mask, static, weight, moving, d_floor)
            figure = self.floor.upright(touch.d, self.frames.c2w[i], lens) if self.floor else np.float32(touch.d)
            d = np.where(mask, figure, d)
            confidence = np.where(mask, 0.4 * touch.trust, confidence)
        return Composition(measured_d, weight, static, d_floor, d, confidence, np.clip(moving, 0, 1))

    def _anchor(self, i: int, d: np.ndarray, weight: np.ndarray) -> None:
        """Put the solved points of frame i into inverse depth ``d`` and its ``weight``, in place."""
        e, rows = self.evidence, self.evidence.at(i)
        known = e.d[rows] > 0
        at = e.row[rows][known], e.col[rows][known]
        d[at] = e.d[rows][known]
        weight[at] = ANCHOR_WEIGHT

    def _votes(self, i: int) -> np.ndarray:
        """How much tracks say that they move and that they rest in frame i, a pixel (h, w, 2)."""
        w, h = self.frames.size
        e, rows = self.evidence, self.evidence.at(i)
        votes = np.zeros((h, w, 2), dtype=np.float32)
        np.add.at(votes, (e.row[rows], e.col[rows], 0), np.maximum(e.label[rows], 0))
        np.add.at(votes, (e.row[rows], e.col[rows], 1), np.maximum(-e.label[rows], 0))
        return votes

    def still(self, i: int) -> DepthFrame:
        """A frame of a camera that does not travel: no depth, only what moves."""
        moving = still_camera.moving_probability(self.frames, self.times, i, self.flow)
        empty = np.zeros_like(moving)
        return DepthFrame(empty, empty.copy(), moving)


def flat(d: np.ndarray, good: np.ndarray, step: float = 0.12) -> np.ndarray:
    """Factor (h, w) 0..1 that is small where inverse depth jumps: flow smears a few pixels over such edges."""
    kernel = np.ones((7, 7), np.uint8)
    high = cv2.dilate(np.where(good, d, 0).astype(np.float32), kernel)
    low = cv2.erode(np.where(good, d, np.inf).astype(np.float32), kernel)
    low = np.minimum(low, high)
    jump = (high - low) / np.maximum(high, 1e-12)
    return np.where(good, 1 / (1 + (jump / step) ** 4), 0).astype(np.float32)
