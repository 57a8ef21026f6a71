"""Contact sheet of the sample clips: frames beside their depth truth, movers outlined."""

import json
from pathlib import Path

import av
import cv2
import numpy as np

SHOWN = (4, 24, 44)
WIDTH = 1080


def draw(clips: Path, path: Path) -> None:
    """Write the sheet of all clips under ``clips`` to ``path``, one clip a row."""
    rows = []
    for folder in sorted(p.parent for p in clips.glob("*/clip.json")):
        facts = json.loads((folder / "clip.json").read_text(encoding="utf-8"))
        frames = upright_frames(folder / "clip.mp4", SHOWN)
        if facts["width"] > facts["height"]:
            cells = [frames[SHOWN[0]], frames[SHOWN[2]], depth_cell(folder, SHOWN[2])]
        else:
            cells = [cell for i in SHOWN for cell in (frames[i], depth_cell(folder, i))]
        width = WIDTH // len(cells)
        height = round(width * facts["height"] / facts["width"])
        row = np.hstack([cv2.resize(cell, (width, height), interpolation=cv2.INTER_AREA) for cell in cells])
        cv2.putText(row, folder.name, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(row, folder.name, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
        rows.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 80])


def upright_frames(movie_path: Path, wanted) -> dict[int, np.ndarray]:
    """BGR frames by index, turned by the movie's display matrix."""
    with av.open(str(movie_path)) as movie:
        shown = {}
        for i, frame in enumerate(movie.decode(video=0)):
            if i in wanted:
                shown[i] = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="bgr24"), frame.rotation // 90))
    return shown


def depth_cell(folder: Path, index: int) -> np.ndarray:
    """Depth truth in colours of inverse depth (near is red, none is black), movers outlined in white; BGR."""
    depth = cv2.imread(str(folder / "depth" / f"{index:04d}.png"), cv2.IMREAD_UNCHANGED).astype(np.float32)
    moving = cv2.imread(str(folder / "moving" / f"{index:04d}.png"), cv2.IMREAD_GRAYSCALE)
    near = np.percentile(depth[depth > 0], 5)
    value = np.where(depth > 0, np.clip(near / np.maximum(depth, 1), 0, 1), 0)
    picture = cv2.applyColorMap((255 * value).astype(np.uint8), cv2.COLORMAP_TURBO)
    picture[depth == 0] = 0
    picture = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    moving = cv2.resize(moving, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(moving, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(picture, outlines, -1, (255, 255, 255), 2)
