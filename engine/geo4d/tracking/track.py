"""Long 2D tracks of a shot: corner tracks of every frame together with SIFT tracks of its key frames."""

import cv2
import numpy as np

from ..errors import BadRequest, SolveError
from ..footage.shot import Shot
from ..progress import Progress
from .klt import CornerTracker
from .sift import GAPS, SiftExtractor, join_matches, match, verified
from .tracks import Tracks

WORKING_WIDTH = 1280  # longest side of the working image, pixels
MIN_FRAMES = 3
MIN_CORNERS = 30  # fewer corners in a typical frame is no texture
LASTING = 4  # frames
MIN_LASTING = 0.25  # share of the observations in tracks that last; noise has 0.03, real footage above 0.7
KEY_MOTION = 0.035  # median motion since the last key frame that makes a new one, share of the diagonal
KEY_LOSS = 0.65  # share of the last key frame's tracks whose loss makes a new one


def working_size(width: int, height: int, longest: int = WORKING_WIDTH) -> tuple[int, int]:
    """Size (w, h) at which a shot of ``width`` x ``height`` is tracked: never larger than the footage."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def track_shot(shot: Shot, progress: Progress) -> Tracks:
    """Follow the shot's features through all its frames.

    Frames are decoded once, in order, and dropped: memory holds the tracks and the key frames' descriptors.

    Raises
    ------
    BadRequest : fewer than three frames.
    SolveError : no texture to track, or nothing that persists from frame to frame (noise).
    """
    count = len(shot)
    if count < MIN_FRAMES:
        raise BadRequest(
            "too_few_frames",
            f"The shot has {count} frame{'s' if count != 1 else ''}; a camera cannot be solved from fewer than "
            f"{MIN_FRAMES}.",
            "Choose a longer strip or a wider frame range.",
        )
    size = working_size(shot.width, shot.height)
    tracker = CornerTracker(*size)
    keys = KeyFrames(size, count)
    sift = SiftExtractor()
    rows, colours, features = [], [], []
    alive = np.zeros(count, dtype=int)
    for position, image in enumerate(shot.read(size=size)):
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
        tracker.advance(gray)
        alive[position] = len(tracker.ids)
        rows.append((tracker.ids, tracker.xy, tracker.fb_error))
        colours.append(sample_colours(image, tracker.xy[len(tracker.xy) - len(tracker.born) :]))
        if keys.wants(position, tracker.ids, tracker.xy):
            xy, descriptors = sift(gray)
            features.append((xy, descriptors.astype(np.float16), sample_colours(image, xy)))
        progress.advance("track", position + 1, count)
    if np.median(alive) < MIN_CORNERS:
        raise SolveError(
            "no_texture",
            f"The picture shows too little texture to follow: {int(np.median(alive))} corners in a typical frame.",
            "Use footage with visible detail that is neither blurred nor dark.",
        )
    tracks = gather(shot, size, rows, colours, keys.positions, features, progress)
    lengths = np.bincount(tracks.track, minlength=len(tracks))
    lasting = float((lengths[tracks.track] >= min(LASTING, count)).mean()) if len(tracks) else 0.0
    if len(tracks) < MIN_CORNERS or lasting < MIN_LASTING:
        raise SolveError(
            "no_persistent_features",
            f"Hardly anything persists from frame to frame: {100 * lasting:.0f} % of what was followed lasted for "
            f"{min(LASTING, count)} frames.",
            "The footage may be noise, strongly blurred, or cut in every frame.",
        )
    progress.log(
        f"tracking: {len(tracks)} tracks, median length {np.median(lengths):.0f} frames, "
        f"{len(keys.positions)} key frames, working size {size[0]} x {size[1]}"
    )
    return tracks


class KeyFrames:
    """Chooses the frames on which wide-baseline features are matched: where enough has moved."""

    def __init__(self, size: tuple[int, int], count: int):
        self.positions: list[int] = []
        self._motion = KEY_MOTION * float(np.hypot(*size))
        self._longest = max(2, count // 30)  # a slow shot still gets some 30 key frames
        self._last = count - 1
        self._ids = self._xy = None

    def wants(self, position: int, ids: np.ndarray, xy: np.ndarray) -> bool:
        if self.positions and position != self._last and not self._moved(position, ids, xy):
            return False
        self.positions.append(position)
        self._ids, self._xy = ids, xy
        return True

    def _moved(self, position: int, ids: np.ndarray, xy: np.ndarray) -> bool:
        if position - self.positions[-1] >= self._longest:
            return True
        _, a, b = np.intersect1d(self._ids, ids, assume_unique=True, return_indices=True)
        if len(a) < KEY_LOSS * len(self._ids):
            return True
        return bool(np.median(np.linalg.norm(xy[b] - self._xy[a], axis=1)) > self._motion)


def sample_colours(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Colours (K, 3) uint8 of the pixels at ``xy`` (K, 2)."""
    if not len(xy):
        return np.zeros((0, 3), dtype=np.uint8)
    p = np.rint(xy).astype(int)
    picked = image[np.clip(p[:, 1], 0, image.shape[0] - 1), np.clip(p[:, 0], 0, image.shape[1] - 1)]
    return np.repeat(picked[:, None], 3, axis=1) if picked.ndim == 1 else picked


def gather(shot, size, rows, colours, key_positions, features, progress) -> Tracks:
    """Corner tracks and SIFT tracks in one :class:`Tracks`, in footage pixels; tracks of one frame are dropped."""
    track = np.concatenate([r[0] for r in rows])
    frame = np.repeat(np.arange(len(rows)), [len(r[0]) for r in rows])
    xy = np.concatenate([r[1] for r in rows])
    fb_error = np.concatenate([r[2] for r in rows])
    rgb = np.concatenate(colours)

    pairs = match_key_frames(features, progress)
    sift_track, feature = join_matches([len(f[0]) for f in features], pairs)
    if len(feature):
        image = np.repeat(np.arange(len(features)), [len(f[0]) for f in features])[feature]
        _, first = np.unique(sift_track, return_index=True)
        track = np.concatenate([track, sift_track + len(rgb)])
        frame = np.concatenate([frame, np.asarray(key_positions)[image]])
        xy = np.concatenate([xy, np.concatenate([f[0] for f in features])[feature]])
        fb_error = np.concatenate([fb_error, np.zeros(len(feature), dtype=np.float32)])
        rgb = np.concatenate([rgb, np.concatenate([f[2] for f in features])[feature[first]]])

    long_enough = np.bincount(track, minlength=len(rgb)) >= 2
    rows_kept = long_enough[track]
    renumber = np.cumsum(long_enough) - 1
    track, frame, xy, fb_error = renumber[track[rows_kept]], frame[rows_kept], xy[rows_kept], fb_error[rows_kept]
    order = np.lexsort((frame, track))
    scale = np.array([shot.width / size[0], shot.height / size[1]])
    return Tracks(
        width=shot.width,
        height=shot.height,
        frame_count=len(rows),
        track=track[order].astype(np.int32),
        frame=frame[order].astype(np.int32),
        xy=((xy[order] + 0.5) * scale).astype(np.float32),
        fb_error=(fb_error[order] * scale.mean()).astype(np.float32),
        rgb=rgb[long_enough],
        key_frames=np.asarray(key_positions, dtype=np.int32),
        working_scale=float(scale.mean()),
    )


def match_key_frames(features, progress: Progress) -> list[tuple[int, int, np.ndarray]]:
    """Verified SIFT matches (a, b, (M, 2)) between key frames, nearest pairs first."""
    n = len(features)
    wanted = [(a, a + gap) for gap in GAPS for a in range(n - gap)]
    pairs = []
    for done, (a, b) in enumerate(wanted):
        (xy_a, d_a, _), (xy_b, d_b, _) = features[a], features[b]
        m = match(d_a.astype(np.float32), d_b.astype(np.float32))
        good = verified(xy_a[m[:, 0]], xy_b[m[:, 1]])
        if good.any():
            pairs.append((a, b, m[good]))
        progress.advance("match", done + 1, len(wanted))
    return pairs
