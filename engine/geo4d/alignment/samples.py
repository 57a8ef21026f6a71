"""A grid of pixels of every frame in every window that holds it: all that cameras are found from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..models.prediction import Prediction
from ..progress import Progress
from .evidence import Picture, WindowCameras, window_cameras, window_maps, within

PIXELS = 1500  # of a frame; maps of up to twice as many are used whole


@dataclass
class Samples:
    """N pixels of F frames; each frame lies in up to M of G windows. Empty places have weight 0."""

    picture: Picture
    width: int  # of the first window's maps
    height: int
    columns: int  # the grid's size; N = rows * columns, in reading order
    rows: int
    xy: np.ndarray  # (N, 2) float32 image positions, see Picture
    window: np.ndarray  # (F, M) int64, -1 = none
    place: np.ndarray  # (F, M) int64 of the frame within the window
    points: np.ndarray  # (F, M, N, 3) float32 in the window's axes
    weight: np.ndarray  # (F, M, N) float32
    disparity: np.ndarray | None  # (F, M, N) float32, 0 = none
    frames: list[np.ndarray]  # G of (T,) int64 positions in the shot
    slots: list[np.ndarray]  # G of (T,) int64: where in M the window lies for its frames
    cameras: list[WindowCameras]
    valid_share: np.ndarray  # (G,) share of pixels with a usable point
    known_focal: float | None  # ratio with which depth becomes points; None = as predicted

    def __len__(self) -> int:
        return len(self.window)


def collect(
    predictions: Sequence[Prediction],
    frame_count: int,
    picture: Picture,
    known_focal: float | None,
    progress: Progress,
    zoom: bool = False,
) -> Samples:
    """Sample all windows, each read once."""
    frames, maps, cameras = [], [], []
    pick = columns = rows = size = None
    for number in range(len(predictions)):
        prediction = within(predictions[number], frame_count)
        if pick is None:
            size = (prediction.width, prediction.height)
            columns, rows = grid_size(*size)
            pick_x, pick_y = ((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
            y, x = (m.ravel() for m in np.meshgrid(pick_y, pick_x, indexing="ij"))
            pick = True
        here = ((y * prediction.height).astype(int), (x * prediction.width).astype(int))
        if number == 0:
            xy = picture.positions(*here, prediction.height, prediction.width)
        own = window_cameras(prediction, picture, zoom)
        sampled = window_maps(prediction, picture, own, known_focal, here)
        frames.append(np.asarray(prediction.positions, dtype=np.int64))
        maps.append(sampled)
        cameras.append(own)
        progress.advance("align", number + 1, 2 * len(predictions))
    samples = _arrange(frames, maps, cameras, frame_count, picture, size, (columns, rows), xy)
    samples.known_focal = known_focal
    return samples


def grid_size(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of the grid for maps of a size."""
    if width * height <= 2 * PIXELS:
        return width, height
    columns = max(2, round(np.sqrt(PIXELS * width / height)))
    return columns, max(2, round(PIXELS / columns))


def _arrange(frames, maps, cameras, frame_count, picture, size, grid, xy) -> Samples:
    count = np.zeros(frame_count, dtype=np.int64)
    slots = []
    for positions in frames:
        slots.append(count[positions].copy())
        count[positions] += 1
    most, n = max(1, int(count.max(initial=1))), len(xy)
    window = np.full((frame_count, most), -1, dtype=np.int64)
    place = np.zeros((frame_count, most), dtype=np.int64)
    points = np.zeros((frame_count, most, n, 3), dtype=np.float32)
    weight = np.zeros((frame_count, most, n), dtype=np.float32)
    has_disparity = any(m.disparity is not None for m in maps)
    disparity = np.zeros((frame_count, most, n), dtype=np.float32) if has_disparity else None
    share = np.zeros(len(maps))
    for g, (positions, slot, m) in enumerate(zip(frames, slots, maps, strict=True)):
        window[positions, slot], place[positions, slot] = g, np.arange(len(positions))
        if m.points is not None and len(positions):
            points[positions, slot], weight[positions, slot] = m.points, m.weight
            share[g] = float((m.weight > 0).mean())
        if m.disparity is not None:
            disparity[positions, slot] = m.disparity
    return Samples(
        picture, *size, *grid, xy, window, place, points, weight, disparity, frames, slots, cameras, share, None
    )
