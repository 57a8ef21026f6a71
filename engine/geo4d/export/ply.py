"""Points as a sequence of binary PLY files: ``NNNN.ply`` a frame, ``static.ply`` for the static cloud.

World: Y up (or Z up, by option), right-handed. Properties: x y z float, red green blue uchar, confidence float and,
for frames, dynamic float (probability that the point moves in the world).
"""

from pathlib import Path

import numpy as np

from ..scene.reader import Scene
from .axes import upright
from .cloud import frame_points, static_points
from .folder import written_whole
from .options import ExportOptions

_TYPES = {"<f4": "float", "|u1": "uchar"}


def export_ply(scene: Scene, target: Path, options: ExportOptions, progress) -> Path:
    """Write into the folder ``target``; returns it."""
    R = upright(scene, options.up_axis)
    with written_whole(target) as folder:
        xyz, rgb, confidence = static_points(scene)
        write_ply(folder / "static.ply", xyz @ R.T, rgb, confidence=confidence)
        for position, points in frame_points(scene, options, progress):
            name = f"{int(scene.index[position]) + options.first_frame:04d}.ply"
            write_ply(folder / name, points.xyz @ R.T, points.rgb, confidence=points.confidence, dynamic=points.dynamic)
    return target


def write_ply(path: Path, xyz: np.ndarray, rgb: np.ndarray, **scalars: np.ndarray) -> None:
    """One binary little-endian PLY of P vertices: xyz (P, 3), rgb (P, 3) uint8, further float properties (P,)."""
    layout = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    layout += [(name, "<f4") for name in scalars]
    vertices = np.empty(len(xyz), dtype=layout)
    for axis, name in enumerate("xyz"):
        vertices[name] = xyz[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = rgb[:, channel]
    for name, values in scalars.items():
        vertices[name] = values
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(xyz)}"]
    header += [f"property {_TYPES[vertices.dtype[name].str]} {name}" for name in vertices.dtype.names]
    with open(path, "wb") as file:
        file.write(("\n".join([*header, "end_header"]) + "\n").encode("ascii"))
        file.write(vertices.tobytes())
