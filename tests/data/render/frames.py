"""Render the frames and the truth of one sample scene; runs in Blender's Python.

``python frames.py SCENE FOLDER [--frames 0,12,24] [--samples 16] [--scale 1.0] [--no-truth]``

FOLDER gets ``rgb/NNNN.png`` (undistorted, with overscan), ``truth/NNNN.npz`` and ``poses.npy``; what is already
there is kept, so a broken run continues.
"""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from rig import film_camera
from truth import measure, ray_caster

FPS = 24
COUNT = 48


def empty_scene() -> None:
    """Blender's start-up scene without its objects."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = FPS
    scene.frame_start, scene.frame_end = 0, COUNT - 1


def render_settings(size: tuple[int, int], samples: int) -> None:
    """Cycles on the CPU with short light paths, denoised with albedo and normals so that texture stays."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.use_persistent_data = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.compression = 30
    scene.render.threads_mode, scene.render.threads = "FIXED", 2
    scene.render.use_motion_blur = True
    scene.render.motion_blur_shutter = 0.25
    scene.render.motion_blur_position = "CENTER"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.use_adaptive_sampling = False
    cycles.sampling_pattern = "BLUE_NOISE"
    cycles.use_animated_seed = True
    cycles.use_light_tree = False
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.denoising_prefilter = "FAST"
    cycles.denoising_quality = "BALANCED"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 2, 2
    cycles.transmission_bounces = cycles.transparent_max_bounces = 1
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0
    cycles.filter_width = 1.2
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.exposure = 0.35
    scene.view_settings.look = "AgX - Medium High Contrast"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("scene")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--frames", default="")
    arguments.add_argument("--samples", type=int, default=0)
    arguments.add_argument("--scale", type=float, default=1.0)
    arguments.add_argument("--no-truth", action="store_true")
    arguments.add_argument("--truth-only", action="store_true")
    chosen = arguments.parse_args()
    picked = [int(i) for i in chosen.frames.split(",")] if chosen.frames else range(COUNT)
    (chosen.folder / "rgb").mkdir(parents=True, exist_ok=True)
    (chosen.folder / "truth").mkdir(exist_ok=True)

    empty_scene()
    module = importlib.import_module(chosen.scene)
    lens = module.LENS
    poses = module.build(COUNT, FPS)
    np.save(chosen.folder / "poses.npy", poses)
    width, height = lens.render_size
    film_camera(poses, lens.focal_px * width / (lens.width * lens.overscan), width)
    size = (round(width * chosen.scale), round(height * chosen.scale))
    render_settings(size, chosen.samples or module.SAMPLES)
    shape = (lens.height // 2, lens.width // 2)
    caster = None if chosen.no_truth else ray_caster(lens.rays(shape[1], shape[0]))
    scene = bpy.context.scene
    for i in picked:
        began = time.process_time()
        scene.frame_set(i)
        facts = chosen.folder / "truth" / f"{i:04d}.npz"
        if caster is not None and not facts.exists():
            depth, moving = measure(caster, poses[i], shape)
            np.savez(facts.with_suffix(".part.npz"), depth=depth, moving=moving)
            os.replace(facts.with_suffix(".part.npz"), facts)
        picture = chosen.folder / "rgb" / f"{i:04d}.png"
        if not picture.exists() and not chosen.truth_only:
            scene.render.filepath = str(picture.with_suffix(".part.png"))
            bpy.ops.render.render(write_still=True)
            os.replace(scene.render.filepath, picture)
        print(f"{chosen.scene} frame {i}: {time.process_time() - began:.1f} CPU-s", flush=True)


if __name__ == "__main__":
    main()
