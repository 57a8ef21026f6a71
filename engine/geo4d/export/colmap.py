"""Cameras and static points as a COLMAP model: cameras, images and points3D, with tracks.

World and axes are the scene's own (OpenCV, COLMAP's convention). Images are named after the footage frame,
``NNNN.png``. The camera model is SIMPLE_RADIAL where both focal lengths agree, else OPENCV with its first radial
term; frames that share a lens share a camera.
"""

from pathlib import Path

import numpy as np

from ..geometry.camera import invert_pose
from ..matchmove.colmap import pycolmap
from ..scene.reader import Scene
from .cloud import lens_of, static_points
from .folder import written_whole
from .options import ExportOptions

_GRAY = (160, 160, 160)


def export_colmap(scene: Scene, target: Path, options: ExportOptions, progress) -> Path:
    """Write the model into the folder ``target``; returns it."""
    model = colmap_model(scene, options, progress)
    with written_whole(target) as folder:
        if options.text:
            model.write_text(str(folder))
        else:
            model.write_binary(str(folder))
    return target


def colmap_model(scene: Scene, options: ExportOptions, progress) -> pycolmap.Reconstruction:
    """The scene in COLMAP's own structure; every frame is a registered image."""
    model = pycolmap.Reconstruction()
    tracks = _static_tracks(scene)
    w2c = invert_pose(scene.c2w)
    cameras: dict[tuple, int] = {}
    elements: dict[int, list[pycolmap.TrackElement]] = {}
    for position in range(len(scene)):
        lens = lens_of(scene, position)
        key = (lens.fx, lens.fy, lens.cx, lens.cy)
        if key not in cameras:
            cameras[key] = len(cameras) + 1
            model.add_camera_with_trivial_rig(_camera(lens, cameras[key]))
        here = np.flatnonzero(tracks["frame"] == position)
        image = pycolmap.Image(
            name=f"{int(scene.index[position]) + options.first_frame:04d}.png",
            keypoints=tracks["xy"][here].astype(np.float64),
            camera_id=cameras[key],
            image_id=position + 1,
        )
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(w2c[position, :3]))
        for number, track in enumerate(tracks["track"][here].tolist()):
            elements.setdefault(track, []).append(pycolmap.TrackElement(position + 1, number))
        progress.advance("export", position + 1, len(scene))
    xyz, rgb, _ = static_points(scene)
    colour = {point.tobytes(): colour for point, colour in zip(xyz.astype(np.float32), rgb, strict=True)}
    for track, seen in elements.items():
        point = tracks["xyz"][track]
        model.add_point3D(point, pycolmap.Track(seen), colour.get(point.astype(np.float32).tobytes(), _GRAY))
    model.update_point_3d_errors()
    return model


def _camera(lens, number: int) -> pycolmap.Camera:
    if abs(lens.fx - lens.fy) < 1e-9 * lens.fx:
        kind, params = "SIMPLE_RADIAL", [lens.fx, lens.cx, lens.cy, lens.k1]
    else:
        kind, params = "OPENCV", [lens.fx, lens.fy, lens.cx, lens.cy, lens.k1, 0.0, 0.0, 0.0]
    return pycolmap.Camera(camera_id=number, model=kind, width=lens.width, height=lens.height, params=params)


def _static_tracks(scene: Scene) -> dict[str, np.ndarray]:
    """Observations of triangulated static tracks, sorted by track; empty if the scene has no tracks."""
    try:
        tracks = scene.tracks()
    except FileNotFoundError:
        none = np.empty(0, np.int32)
        return {"track": none, "frame": none, "xy": np.empty((0, 2)), "xyz": np.empty((0, 3))}
    usable = tracks["static"] & np.isfinite(tracks["xyz"]).all(axis=1)
    keep = usable[tracks["track"]]
    return {name: tracks[name][keep] for name in ("track", "frame", "xy")} | {"xyz": tracks["xyz"]}
