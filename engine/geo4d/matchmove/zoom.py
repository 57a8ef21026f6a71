"""A lens that zooms: the course of its focal length, from pairs of frames alone, before any camera is known.

A fundamental matrix tells the focal lengths of both its frames (Kruppa; Sturm, "On focal length calibration from two
views", 2001), and so does the homography between two pictures of a camera that turns on the spot (Agapito et al.,
"Self-calibration of rotating and zooming cameras", 2001). One pair says it badly; some eighty of them, tied by a
course that is smooth in time, say it within a few percent up to a common factor. Tracks scaled by the course
(:func:`evened`) are those of a lens that does not zoom, so that everything made for one lens works on them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..progress import Progress
from ..tracking.tracks import Tracks
from .calibration import PRIOR_RATIO, RATIOS, focal_from_fundamentals
from .camera import PER_KEY_FRAME, part
from .database import Pair, epipolar_survey, key_pairs
from .observations import Observations, pick_key_frames, thin
from .tripod import INLIER_PX

BEND_SIGMA = 0.03  # of the change from frame to frame of the slope of log focal length
SLOPE_SIGMA = 0.5  # of that slope: decides only where the pairs say nothing
LEVEL_SIGMA = 1.0  # of log focal length around an ordinary lens
TRAVEL_SIGMA = 0.03  # of the residual of a fundamental matrix that is essential with the right lens
TURN_SIGMA = 0.01  # of the residual of a homography that is a rotation with the right lens
TURN_GAPS = (1, 2, 3, 5)  # in key frames
TURN_STARTS = (0.5, 0.9, 1.6, 3.0)  # focal lengths over the longer side
LEAST_PAIRS = 6


@dataclass
class Course:
    """Focal length of every frame, ``focal_px`` (F,), up to a common factor that is known worse.

    ``residual``: median over the pairs that it was told from; ``gain``: the pairs' cost with the best single focal
    length over that with the course.
    """

    focal_px: np.ndarray
    residual: float
    gain: float

    @property
    def range(self) -> float:
        return float(np.ptp(np.log(self.focal_px)))

    @property
    def ratio(self) -> np.ndarray:
        """(F,) against the geometric mean."""
        log = np.log(self.focal_px)
        return np.exp(log - log.mean())


def evened(tracks: Tracks, ratio: np.ndarray) -> Tracks:
    """The tracks as a lens without zoom had filmed them, whose focal length is the true one over ``ratio`` (F,).

    Exact, a radial term included: normalised positions stay what they are.
    """
    centre = np.array([tracks.width / 2, tracks.height / 2])
    xy = centre + (tracks.xy - centre) / ratio[tracks.frame][:, None]
    return replace(tracks, xy=xy.astype(np.float32))


def courses(tracks: Tracks, progress: Progress) -> tuple[Course | None, Course | None]:
    """The courses that fit a camera that turns on the spot, and one that travels; None where they cannot be told."""
    keys = pick_key_frames(tracks)
    subset = Observations(part(tracks, thin(tracks, keys, PER_KEY_FRAME)))
    pairs = key_pairs(subset, keys)
    if len(pairs) < LEAST_PAIRS:
        return None, None
    near = [p for p in pairs if p.j - p.i in TURN_GAPS]
    turning = turning_course(subset.tracks, keys, near)
    travelling = travelling_course(subset, keys, pairs, progress)
    for name, course in (("turns", turning), ("travels", travelling)):
        if course is not None:
            progress.log(
                f"zoom: if the camera {name}, {course.focal_px.min():.0f} to {course.focal_px.max():.0f} px, "
                f"residual {course.residual:.4f}, gain {course.gain:.2f}"
            )
    return turning, travelling


def turning_course(tracks: Tracks, keys: np.ndarray, pairs: list[Pair]) -> Course | None:
    """From the homographies of near pairs of key frames."""
    found = [(p, _homography(tracks, p)) for p in pairs]
    found = [(p, H) for p, H in found if H is not None]
    if len(found) < LEAST_PAIRS:
        return None
    centre = np.array([[1, 0, tracks.width / 2], [0, 1, tracks.height / 2], [0, 0, 1]])
    H = np.linalg.inv(centre) @ np.stack([h for _, h in found]) @ centre
    longest = max(tracks.width, tracks.height)
    problem = _Problem(_turning, H, [p for p, _ in found], keys, TURN_SIGMA, longest)
    fits = [problem.fitted(np.log(ratio * longest)) for ratio in TURN_STARTS]
    return problem.course(min(fits, key=problem.cost), tracks.frame_count)


def travelling_course(subset: Observations, keys: np.ndarray, pairs: list[Pair], progress: Progress) -> Course | None:
    """From the fundamental matrices of wide pairs of key frames."""
    tracks = subset.tracks
    survey = epipolar_survey(subset, pairs, INLIER_PX * tracks.working_scale, progress)
    found = [(p, F) for p, F, _ in survey if F is not None]
    if len(found) < LEAST_PAIRS:
        return None
    centre = np.array([[1, 0, tracks.width / 2], [0, 1, tracks.height / 2], [0, 0, 1]])
    start, _ = focal_from_fundamentals([F for _, F in found], tracks.width, tracks.height)
    F = centre.T @ np.stack([F for _, F in found]) @ centre
    problem = _Problem(_travelling, F, [p for p, _ in found], keys, TRAVEL_SIGMA, max(tracks.width, tracks.height))
    return problem.course(problem.fitted(np.log(start)), tracks.frame_count)


def _homography(tracks: Tracks, pair: Pair) -> np.ndarray | None:
    a, b = (tracks.xy[rows].astype(np.float64) for rows in (pair.a, pair.b))
    H, inlier = cv2.findHomography(a, b, cv2.RANSAC, INLIER_PX * tracks.working_scale)
    return H if H is not None and inlier.sum() >= 15 and np.linalg.det(H) > 0 else None


def _turning(H: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far (P, 9) homographies (P, 3, 3) about the image's centre are from rotations, at log focal lengths (P,)."""
    G = _diagonal(-second) @ H @ _diagonal(first)
    G /= np.cbrt(np.linalg.det(G))[:, None, None]
    return (G.transpose(0, 2, 1) @ G - np.eye(3)).reshape(-1, 9)


def _travelling(F: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far (P, 9) fundamental matrices (P, 3, 3) about the image's centre are from essential ones.

    Zero where both singular values are equal: ``2 E E^T E = trace(E E^T) E``.
    """
    E = _diagonal(second) @ F @ _diagonal(first)
    E /= np.linalg.norm(E, axis=(1, 2), keepdims=True)
    EE = E @ E.transpose(0, 2, 1)
    return (2 * EE @ E - np.trace(EE, axis1=1, axis2=2)[:, None, None] * E).reshape(-1, 9)


def _diagonal(log_focal: np.ndarray) -> np.ndarray:
    """Calibration matrices (P, 3, 3) about the image's centre."""
    K = np.zeros((len(log_focal), 3, 3))
    K[:, 0, 0] = K[:, 1, 1] = np.exp(log_focal)
    K[:, 2, 2] = 1.0
    return K


class _Problem:
    """Log focal lengths (K,) of the key frames: Cauchy losses of the pairs, and a smooth course."""

    def __init__(self, residual: Callable, matrices, pairs: list[Pair], keys: np.ndarray, sigma: float, longest: int):
        self.residual, self.matrices, self.sigma, self.keys, self.longest = residual, matrices, sigma, keys, longest
        self.i, self.j = (np.array([getattr(p, side) for p in pairs]) for side in "ij")
        count = len(keys)
        slope = np.diff(np.eye(count), axis=0) / np.diff(keys)[:, None]
        # A course that bends over a longer gap has had more frames to do so.
        bend = np.diff(slope, axis=0) / np.sqrt(0.5 * (keys[2:] - keys[:-2]))[:, None]
        level = np.full((1, count), 1.0 / count)
        self.prior = np.concatenate([bend / BEND_SIGMA, slope / SLOPE_SIGMA, level / LEVEL_SIGMA])
        self.aim = np.zeros(len(self.prior))
        self.aim[-1] = np.log(PRIOR_RATIO * longest) / LEVEL_SIGMA

    def errors(self, x: np.ndarray) -> np.ndarray:
        """Squared residuals (P,)."""
        return np.sum(self.residual(self.matrices, x[self.i], x[self.j]) ** 2, axis=1)

    def cost(self, x: np.ndarray) -> float:
        return float(np.log1p(self.errors(x) / self.sigma**2).sum() + np.sum((self.prior @ x - self.aim) ** 2))

    def fitted(self, start: float, iterations: int = 25) -> np.ndarray:
        """Gauss-Newton from one focal length for all; derivatives by differences, two unknowns a pair."""
        x = np.full(len(self.keys), start)
        cost, damping, h = self.cost(x), 1e-3, 1e-5
        for _ in range(iterations):
            r = self.residual(self.matrices, x[self.i], x[self.j])
            di = (self.residual(self.matrices, x[self.i] + h, x[self.j]) - r) / h
            dj = (self.residual(self.matrices, x[self.i], x[self.j] + h) - r) / h
            weight = 1.0 / (self.sigma**2 + np.sum(r * r, axis=1))
            A, g = self.prior.T @ self.prior, self.prior.T @ (self.prior @ x - self.aim)
            for a, da in ((self.i, di), (self.j, dj)):
                np.add.at(g, a, weight * np.sum(da * r, axis=1))
                for b, db in ((self.i, di), (self.j, dj)):
                    np.add.at(A, (a, b), weight * np.sum(da * db, axis=1))
            before = cost
            while damping < 1e6:
                step = -np.linalg.solve(A + damping * np.diag(np.diag(A)), g)
                trial = x + np.clip(step, -0.3, 0.3)
                if self.cost(trial) < cost:
                    x, cost, damping = trial, self.cost(trial), max(damping / 5, 1e-6)
                    break
                damping *= 5
            if before - cost < 1e-5 * before:
                break
        return x

    def course(self, x: np.ndarray, frames: int) -> Course:
        focal = np.exp(np.interp(np.arange(frames), self.keys, x))
        constant = [self.cost(np.full(len(x), np.log(ratio * self.longest))) for ratio in RATIOS]
        return Course(focal, float(np.median(np.sqrt(self.errors(x)))), min(constant) / max(self.cost(x), 1e-9))
