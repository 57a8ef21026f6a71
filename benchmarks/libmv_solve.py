"""Blender's own automatic camera solve of one clip, for comparison; runs in a bpy environment.

    python libmv_solve.py FOOTAGE OUTPUT.json

Detects features on the first frame and every 12th one after it, tracks them both ways, solves with focal and
first radial term refined, and writes cameras (OpenCV axes), focal length in pixels, error and seconds.
"""

import json
import sys
import time

import bpy
import numpy as np

_DETECT_EVERY = 12


def clip_editor(clip):
    """A context override with a clip editor that shows ``clip``; the bpy module has a window without a screen."""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda a: a.width * a.height)
    area.type = "CLIP_EDITOR"
    area.spaces.active.clip = clip
    region = next(r for r in area.regions if r.type == "WINDOW")
    return {"window": window, "area": area, "region": region, "space_data": area.spaces.active}


def solve(path: str) -> dict:
    begun = time.perf_counter()
    scene = bpy.context.scene
    clip = bpy.data.movieclips.load(path)
    frames = clip.frame_duration
    scene.frame_start, scene.frame_end = 1, frames
    tracking = clip.tracking
    tracking.settings.default_motion_model = "Loc"
    tracking.settings.use_default_normalization = True
    tracking.settings.default_correlation_min = 0.75
    with bpy.context.temp_override(**clip_editor(clip)):
        for frame in range(1, frames + 1, _DETECT_EVERY):
            scene.frame_set(frame)
            bpy.ops.clip.detect_features(threshold=0.1, min_distance=max(20, clip.size[0] // 25), margin=16)
            bpy.ops.clip.track_markers(backwards=False, sequence=True)
            scene.frame_set(frame)
            bpy.ops.clip.track_markers(backwards=True, sequence=True)
            bpy.ops.clip.select_all(action="DESELECT")
        # What short tracks there are only hurt, as every tutorial says.
        bpy.ops.clip.clean_tracks(frames=8, error=0.0, action="DELETE_TRACK")
        settings = tracking.settings
        settings.use_keyframe_selection = True
        settings.refine_intrinsics_focal_length = True
        settings.refine_intrinsics_radial_distortion = True
        tracking.camera.sensor_width = 36.0
        tracking.camera.focal_length = 35.0
        bpy.ops.clip.solve_camera()
    cameras = tracking.reconstruction.cameras
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    poses = {int(c.frame) - 1: (np.array(c.matrix) @ flip).tolist() for c in cameras}
    return {
        "poses": poses,
        "focal_px": tracking.camera.focal_length / tracking.camera.sensor_width * clip.size[0],
        "error_px": tracking.reconstruction.average_error,
        "tracks": len(tracking.tracks),
        "seconds": time.perf_counter() - begun,
    }


if __name__ == "__main__":
    result = solve(sys.argv[1])
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(result, file)
