"""SIFT features on key frames, matched over growing gaps, joined into tracks of their own.

They bridge what corner tracks cannot: wide baselines, fast motion, things that leave the frame and return.
Positions are in pixels of the working image with pixel centres at integers, as OpenCV gives them.
"""

import cv2
import numpy as np

GAPS = (1, 2, 3, 5, 8, 13, 21, 34, 55)  # in key frames
MIN_MATCHES = 20


class SiftExtractor:
    """SIFT key points and RootSIFT descriptors (Arandjelovic and Zisserman 2012) of an image."""

    def __init__(self, features: int = 2500):
        self._sift = cv2.SIFT_create(nfeatures=features, contrastThreshold=0.015, edgeThreshold=12)

    def __call__(self, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (K, 2) float32 and descriptors (K, 128) float32 of unit length."""
        keypoints, descriptors = self._sift.detectAndCompute(gray, None)
        if descriptors is None:
            return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
        xy = np.array([k.pt for k in keypoints], dtype=np.float32)
        # One feature a place: OpenCV repeats a key point for every dominant orientation.
        _, first = np.unique(np.rint(xy * 2).astype(np.int64) @ [1 << 20, 1], return_index=True)
        xy, d = xy[first], descriptors[first]
        d = np.sqrt(d / np.maximum(d.sum(1, keepdims=True), 1e-9))
        return xy, d.astype(np.float32)


def match(a: np.ndarray, b: np.ndarray, ratio: float = 0.8) -> np.ndarray:
    """Mutual nearest neighbours (M, 2) of unit descriptors (A, D), (B, D) that pass Lowe's ratio test."""
    if len(a) < 2 or len(b) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    similarity = a @ b.T
    best = similarity.argmax(1)
    rows = np.arange(len(a))
    top = similarity[rows, best].copy()
    back = similarity.argmax(0)
    similarity[rows, best] = -1.0
    second = similarity.max(1)
    distance2 = np.maximum(2 - 2 * top, 0)
    good = (back[best] == rows) & (distance2 < ratio**2 * np.maximum(2 - 2 * second, 1e-12)) & (top > 0.75)
    return np.column_stack([rows[good], best[good]])


def verified(xy_a: np.ndarray, xy_b: np.ndarray, threshold_px: float = 1.5) -> np.ndarray:
    """True (M,) for the matches that agree with one epipolar geometry; all False where there is none."""
    if len(xy_a) < MIN_MATCHES:
        return np.zeros(len(xy_a), dtype=bool)
    params = cv2.UsacParams()
    params.randomGeneratorState = 0
    params.threshold = threshold_px
    params.confidence = 0.9999
    params.maxIterations = 3000
    params.sampler = cv2.SAMPLING_UNIFORM
    params.score = cv2.SCORE_METHOD_MAGSAC
    params.loMethod = cv2.LOCAL_OPTIM_SIGMA
    params.loIterations = 10
    params.loSampleSize = 14
    try:
        F, inlier = cv2.findFundamentalMat(xy_a.astype(np.float64), xy_b.astype(np.float64), params)
    except cv2.error:
        # OpenCV asserts instead of returning nothing when every sample is degenerate.
        return np.zeros(len(xy_a), dtype=bool)
    if F is None or inlier is None or inlier.sum() < MIN_MATCHES:
        return np.zeros(len(xy_a), dtype=bool)
    return inlier.ravel().astype(bool)


def join_matches(counts: list[int], pairs: list[tuple[int, int, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Chain pairwise matches into tracks with at most one feature an image.

    Parameters
    ----------
    counts : number of features of each image.
    pairs : (image a, image b, (M, 2) feature indices) for each matched pair; earlier pairs win conflicts.

    Returns
    -------
    track : (T,) int64 track of each kept feature, and feature : (T,) int64 its global number
        (offset of its image plus index). Sorted by (track, feature).
    """
    offset = np.concatenate([[0], np.cumsum(counts)])
    image = np.repeat(np.arange(len(counts)), counts)
    parent = list(range(int(offset[-1])))
    seen: dict[int, set] = {}

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b, m in pairs:
        for i, j in zip((m[:, 0] + offset[a]).tolist(), (m[:, 1] + offset[b]).tolist(), strict=True):
            ri, rj = root(i), root(j)
            if ri == rj:
                continue
            si, sj = seen.get(ri) or {int(image[ri])}, seen.get(rj) or {int(image[rj])}
            if si & sj:
                continue  # would put two features of one image on one track
            parent[rj] = ri
            seen[ri] = si | sj
            seen.pop(rj, None)
    roots = np.array([root(i) for i in range(len(parent))], dtype=np.int64)
    _, inverse, size = np.unique(roots, return_inverse=True, return_counts=True)
    kept = size >= 2
    renumber = np.cumsum(kept) - 1
    feature = np.flatnonzero(kept[inverse])
    track = renumber[inverse[feature]]
    order = np.lexsort((feature, track))
    return track[order], feature[order]
