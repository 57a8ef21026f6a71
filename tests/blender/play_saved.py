"""Play a saved file in a Blender without the extension: ``python -I play_saved.py FILE.blend OUT.npz FRAME ...``."""

import sys

import bpy
import numpy as np


def main(blend: str, out: str, frames: list[int]) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=blend)
    scene = bpy.context.scene
    result = {"has_extension": np.array(hasattr(bpy.types.Scene, "geo4d"))}
    points = next(o for o in scene.objects if o.type == "POINTCLOUD" and "Depth" in o.name)
    for frame in frames:
        scene.frame_set(frame)
        data = points.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        positions = np.zeros(len(data.points) * 3, np.float32)
        data.attributes["position"].data.foreach_get("vector", positions)
        colors = np.zeros(len(data.points) * 4, np.float32)
        data.attributes["displayColor"].data.foreach_get("color", colors)
        result[f"points_{frame}"], result[f"colors_{frame}"] = positions.reshape(-1, 3), colors.reshape(-1, 4)
        result[f"camera_{frame}"] = np.array(scene.camera.matrix_world)
    np.savez(out, **result)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(f) for f in sys.argv[3:]])
