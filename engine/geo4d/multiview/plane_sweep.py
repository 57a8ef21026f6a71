"""Plane sweep around a surface that is roughly known: what the neighbours say about being nearer or farther.

Hypotheses are steps of log inverse depth from the rough surface, so that a learned filter sees the same thing
near and far: a curve of matching cost with its minimum at the correction.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .working_frames import WorkingFrames

STEP = 0.05  # of log inverse depth between hypotheses
COUNT = 32
CELL = 4  # pixels of the maps that one cell of the sweep covers
OFFSETS = (np.arange(COUNT, dtype=np.float32) - (COUNT - 1) / 2) * STEP
UNSEEN = 0.6  # cost of a hypothesis that falls outside a neighbour's picture
CHANNELS = COUNT + 1
_MEAN = np.full((1, 3), 1 / 3, np.float32)  # of the features' channels


@dataclass
class Features:
    """What is compared between frames, at half the maps' resolution."""

    maps: np.ndarray  # (h / 2, w / 2, 3) float32: luma without its local mean and spread, its x and y gradient

    @classmethod
    def of(cls, gray: np.ndarray) -> "Features":
        """Of luma uint8 (h, w)."""
        h, w = gray.shape
        half = cv2.resize(gray, (w // 2, h // 2), interpolation=cv2.INTER_AREA).astype(np.float32)
        local = half - cv2.GaussianBlur(half, (0, 0), 4.0)
        spread = np.sqrt(cv2.GaussianBlur(local * local, (0, 0), 4.0)) + 3.0  # grey levels; plain areas stay calm
        gx = cv2.Scharr(half, cv2.CV_32F, 1, 0, scale=1 / 32) / spread
        gy = cv2.Scharr(half, cv2.CV_32F, 0, 1, scale=1 / 32) / spread
        return cls(np.dstack([local / spread, gx, gy]).clip(-2, 2))


def sweep(
    frames: WorkingFrames, i: int, neighbours: list[int], features: dict[int, Features], d: np.ndarray
) -> np.ndarray:
    """Matching cost of frame i around inverse depth ``d``.

    Parameters
    ----------
    neighbours : frames to compare with; ``features`` holds theirs and frame i's.
    d : (h4, w4) float32 inverse depth of the rough surface, in cells of CELL pixels from the top left corner; the
        grid may reach over the maps' right and lower edges.

    Returns
    -------
    (CHANNELS, h4, w4) float32: mean absolute difference at each of OFFSETS, over the neighbours before or those
    after frame i, whichever agree better (what one side cannot see the other often can); last the parallax of
    one step, log(1 + pixels).
    """
    h4, w4 = d.shape
    w, h = frames.size
    lens = frames.lenses[i]
    x = (np.arange(w4, dtype=np.float32) + 0.5) * CELL
    y = (np.arange(h4, dtype=np.float32) + 0.5) * CELL
    ray = np.stack(
        [
            np.broadcast_to((x[None] - lens.cx) / lens.fx, d.shape),
            np.broadcast_to((y[:, None] - lens.cy) / lens.fy, d.shape),
            np.ones_like(d),
        ]
    ).reshape(3, -1)
    fh, fw = features[i].maps.shape[:2]
    to_feature = np.array([fw / w, fh / h])
    own = _sample(features[i].maps, x[None] * to_feature[0] + 0 * y[:, None], y[:, None] * to_feature[1] + 0 * x[None])
    hypotheses = (np.exp(OFFSETS)[:, None] * d.reshape(1, -1)).astype(np.float32)
    sides: dict[bool, list[np.ndarray]] = {False: [], True: []}
    parallax = np.zeros(d.size, np.float32)
    for j in neighbours:
        R = frames.c2w[j, :3, :3].T @ frames.c2w[i, :3, :3]
        t = frames.c2w[j, :3, :3].T @ (frames.c2w[i, :3, 3] - frames.c2w[j, :3, 3])
        K = np.diag([*to_feature, 1.0]) @ frames.lenses[j].matrix
        a, b = (K @ R @ ray).astype(np.float32), (K @ t).astype(np.float32)
        z = np.maximum(a[2] + hypotheses * b[2], 1e-3)
        u, v = (a[0] + hypotheses * b[0]) / z, (a[1] + hypotheses * b[1]) / z
        seen = _sample(features[j].maps, u, v)
        outside = (u < 0) | (v < 0) | (u > fw) | (v > fh)
        seen -= own.reshape(1, -1, 3)
        cost = cv2.transform(np.abs(seen, out=seen), _MEAN)
        cost[outside] = UNSEEN
        sides[j > i].append(cost.reshape(COUNT, h4, w4))
        middle = COUNT // 2
        parallax += 2 * np.minimum(np.hypot(u[middle] - u[middle - 1], v[middle] - v[middle - 1]), 20)
    means = [np.mean(costs, axis=0) for costs in sides.values() if costs]
    cost = np.minimum.reduce(means) if means else np.full((COUNT, h4, w4), UNSEEN, np.float32)
    parallax = np.log1p(parallax / max(len(neighbours), 1)).reshape(1, h4, w4)
    return np.concatenate([cost, parallax]).astype(np.float32)


def _sample(maps: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear samples (..., 3) of maps at positions whose (0, 0) is the corner."""
    x, y = x.astype(np.float32) - 0.5, y.astype(np.float32) - 0.5
    return cv2.remap(maps, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
