"""Camera path as a TUM trajectory: ``time x y z qx qy qz qw`` a line.

Camera-to-world in the scene's own world, OpenCV camera axes; times in seconds from the footage's time stamps.
"""

from pathlib import Path

import numpy as np

from ..geometry.rotation import quaternions
from ..scene.checkpoint import replace_atomically
from ..scene.reader import Scene
from ..scene.workspace import output_errors
from .options import ExportOptions


def export_tum(scene: Scene, target: Path, options: ExportOptions, progress) -> Path:
    """Write the file ``target``; returns it."""
    wxyz = quaternions(scene.c2w[:, :3, :3])
    rows = np.column_stack([scene.time, scene.c2w[:, :3, 3], wxyz[:, 1:], wxyz[:, :1]])
    lines = ["# time x y z qx qy qz qw"]
    lines += [f"{row[0]:.6f} " + " ".join(f"{value:.9g}" for value in row[1:]) for row in rows]
    text = "\n".join(lines) + "\n"
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(target, lambda path: path.write_text(text, encoding="utf-8"))
    progress.advance("export", len(scene), len(scene))
    return target
