"""Camera as a Nuke .chan file.

Columns: ``frame tx ty tz rx ry rz vfov focal haperture vaperture hoffset voffset``. The first eight are what Nuke,
Houdini and Blender read. World: Y up, right-handed, the first camera looking along -Z; cameras look along their -z
with y up. Rotations are degrees in Nuke's default order ZXY, ``R = Ry Rx Rz``: roll, then tilt, then pan. ``vfov``
is the vertical field of view in degrees; the rest is in millimetres, the offsets being those of the film back's
centre from the optical axis, right and up. The lens's radial term is not part of the format: undistort the plate.
"""

from pathlib import Path

import numpy as np

from ..scene.reader import Scene
from .axes import cameras_looking_back, upright
from .film_back import film_backs
from .folder import write_lines
from .options import ExportOptions


def export_chan(scene: Scene, target: Path, options: ExportOptions, progress) -> Path:
    """Write the file ``target``; returns it."""
    c2w = cameras_looking_back(scene, upright(scene, "Y"))
    back = film_backs(scene, options.sensor_width_mm)
    vfov = np.degrees(2 * np.arctan(back.height / 2 / back.focal))
    columns = [c2w[:, :3, 3], angles_zxy(c2w[:, :3, :3]), vfov, back.focal]
    columns += [np.full(len(scene), back.width), back.height, back.offset_x, back.offset_y]
    lines = [
        f"{int(index) + options.first_frame}\t" + "\t".join(f"{value:.10g}" for value in row)
        for index, row in zip(scene.index, np.column_stack(columns), strict=True)
    ]
    write_lines(target, lines)
    progress.advance("export", len(scene), len(scene))
    return target


def angles_zxy(R: np.ndarray) -> np.ndarray:
    """Degrees (F, 3) about x, y, z with ``R = Ry Rx Rz`` for rotations (F, 3, 3), without jumps of a full turn."""
    x = np.arcsin(np.clip(-R[:, 1, 2], -1.0, 1.0))
    y = np.arctan2(R[:, 0, 2], R[:, 2, 2])
    z = np.arctan2(R[:, 1, 0], R[:, 1, 1])
    return np.degrees(np.unwrap(np.stack([x, y, z], axis=-1), axis=0))
