"""Pictures of a solve: a virtual cube on the floor through the solved cameras, and the path beside the truth."""

from pathlib import Path

import cv2
import numpy as np
from geo4d.geometry.camera import distort, invert_pose
from geo4d.geometry.similarity import umeyama
from geo4d.matchmove.solve import Solve

FRAMES = 8
WIDTH = 480  # of one picture on the sheet
SIZE = 0.13  # of the cube, over the picture's width
FLOOR = 0.15  # points that share a height, over those at the busiest one, for it to be a floor
GRID = 3  # squares of the floor around the cube, to each side
CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])
FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
SHADES = ((60, 60, 200), (60, 60, 200), (80, 160, 60), (80, 160, 60), (160, 90, 60), (230, 200, 170))


def draw(clip, shot, solve: Solve, folder: Path) -> None:
    """``folder/<clip>.jpg``: frames in which the cube is seen, and where the camera travels its path."""
    folder.mkdir(parents=True, exist_ok=True)
    cube = place(solve)
    pictures = []
    if cube is not None:
        corner, axes, size = cube
        seen = np.flatnonzero([_inside(corner, solve, f) for f in range(len(solve))])
        frames = seen[np.unique(np.linspace(0, len(seen) - 1, FRAMES).round().astype(int))]
        for frame, image in zip(frames.tolist(), shot.read_at(frames), strict=True):
            image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
            pictures.append(_picture(image[..., ::-1], solve, frame, corner, axes, size))
    if solve.motion == "moving":
        height = pictures[0].shape[0] if pictures else 360
        pictures.append(cv2.resize(path_plot(clip, solve), (WIDTH, height), interpolation=cv2.INTER_AREA))
    if not pictures:
        return
    pictures += [np.full_like(pictures[0], 255)] * (-len(pictures) % 3)
    rows = [np.hstack(pictures[i : i + 3]) for i in range(0, len(pictures), 3)]
    cv2.imwrite(str(folder / f"{clip.name}.jpg"), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])


def place(solve: Solve) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Where the cube stands: middle of its foot (3,), its axes (3, 3) in columns, the last one up, and its size.

    On the lowest height that many points share, at the one of them that is in the picture most often.
    """
    centre = solve.c2w[:, :3, 3].mean(0)
    offset = solve.points - centre
    height = offset @ solve.up
    distance = np.linalg.norm(offset, axis=1)
    low = (height < -0.05 * distance) & (distance < 2 * np.median(distance))
    if low.sum() < 10:
        low = np.ones(len(height), dtype=bool)
    candidates = np.flatnonzero(low)
    if not len(candidates):
        return None
    if solve.motion == "moving":
        step = 0.03 * float(np.median(distance))
        share = np.abs(height[low][:, None] - height[low][None]) < step
        many = share.sum(1)
        floor = np.flatnonzero(many > FLOOR * many.max())
        candidates = candidates[share[floor[np.argmin(height[low][floor])]]]
    candidates = candidates[:: max(1, len(candidates) // 200)]
    often = [sum(_inside(solve.points[p], solve, f) for f in range(0, len(solve), 3)) for p in candidates]
    best = candidates[int(np.argmax(np.array(often) - 1e-3 * distance[candidates]))]
    across = np.cross(solve.up, solve.c2w[len(solve) // 2, :3, 2])
    across /= np.linalg.norm(across)
    axes = np.column_stack([across, np.cross(solve.up, across), solve.up])
    return solve.points[best], axes, SIZE * float(distance[best]) * solve.width / float(np.median(solve.fx))


def _project(points: np.ndarray, solve: Solve, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Distorted pixels (N, 2) and z-depth (N,)."""
    w2c, lens = invert_pose(solve.c2w[frame]), solve.lens(frame)
    p = points @ w2c[:3, :3].T + w2c[:3, 3]
    n = p[:, :2] / np.maximum(p[:, 2:], 1e-6)
    return distort(n, lens.k1) * lens.focal + lens.centre, p[:, 2]


def _inside(point: np.ndarray, solve: Solve, frame: int) -> bool:
    xy, z = _project(point[None], solve, frame)
    margin = 0.08 * solve.width
    return bool(z[0] > 0 and (xy[0] > margin).all() and (xy[0] < [solve.width - margin, solve.height - margin]).all())


def _picture(image: np.ndarray, solve: Solve, frame: int, corner, axes, size: float) -> np.ndarray:
    scale = WIDTH / solve.width
    image = cv2.resize(image, (WIDTH, round(solve.height * scale)), interpolation=cv2.INTER_AREA)
    lines = []
    for i in range(-GRID, GRID + 1):
        t = np.linspace(-GRID, GRID, 40)
        for line in (np.column_stack([t, 0 * t + i, 0 * t]), np.column_stack([0 * t + i, t, 0 * t])):
            lines.append(line)
    for line in lines:
        xy, z = _project(corner + size * line @ axes.T, solve, frame)
        ok = z > 0.05 * size
        if ok.all() and np.abs(xy).max() < 1e4:
            cv2.polylines(image, [np.rint(xy * scale * 16).astype(np.int32)], False, (0, 220, 255), 1, cv2.LINE_AA, 4)
    corners = corner + size * CORNERS @ axes.T
    xy, z = _project(corners, solve, frame)
    if (z > 0.05 * size).all():
        eye = solve.c2w[frame, :3, 3]
        order = sorted(range(6), key=lambda k: -np.linalg.norm(corners[list(FACES[k])].mean(0) - eye))
        for k in order[3:]:
            face = np.rint(xy[list(FACES[k])] * scale * 16).astype(np.int32)
            cv2.fillConvexPoly(image, face, SHADES[k], cv2.LINE_AA, 4)
            cv2.polylines(image, [face], True, (20, 20, 20), 1, cv2.LINE_AA, 4)
    cv2.putText(image, str(frame), (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 255, 255), 2, cv2.LINE_AA)
    return image


def path_plot(clip, solve: Solve) -> np.ndarray:
    """The path from above, over the truth where there is one, after the best similarity; BGR."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(5, 3.6), dpi=96)
    path, truth = solve.c2w[:, :3, 3], clip.poses()
    if truth is not None and len(truth) == len(solve):
        s, R, t = umeyama(path, truth[:, :3, 3])
        path = s * path @ R.T + t
        axis.plot(truth[:, 0, 3], truth[:, 2, 3], color="0.6", linewidth=4, label="truth")
    axis.plot(path[:, 0], path[:, 2], color="C3", linewidth=1.2, label="solve")
    axis.set(title=clip.name, xlabel="x", ylabel="z")
    axis.set_aspect("equal", adjustable="datalim")
    axis.legend()
    figure.tight_layout()
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., 2::-1].copy()
    pyplot.close(figure)
    return picture
