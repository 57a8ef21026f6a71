"""Camera path as a TUM trajectory: ``time x y z qx qy qz qw`` a line.

Camera-to-world in the scene's own world, OpenCV camera axes; times in seconds from the footage's time stamps.
"""

from pathlib import Path

import numpy as np

from ..geometry.rotation import quaternions
from ..scene.reader import Scene
from .folder import write_lines
from .options import ExportOptions


def export_tum(scene: Scene, target: Path, options: ExportOptions, progress) -> Path:
    """Write the file ``target``; returns it."""
    wxyz = quaternions(scene.c2w[:, :3, :3])
    rows = np.column_stack([scene.time, scene.c2w[:, :3, 3], wxyz[:, 1:], wxyz[:, :1]])
    lines = ["# time x y z qx qy qz qw"]
    lines += [f"{row[0]:.6f} " + " ".join(f"{value:.9g}" for value in row[1:]) for row in rows]
    write_lines(target, lines)
    progress.advance("export", len(scene), len(scene))
    return target
