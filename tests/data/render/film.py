"""From rendered frames to a clip with its truth: lens, grain, H.264, depth and mask pictures."""

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from lens import Lens

GRAIN = 2.2
"""Sensor noise: standard deviation in 8-bit steps at middle grey."""


def filmed(picture: np.ndarray, lens: Lens, rng: np.random.Generator) -> np.ndarray:
    """What the camera records of a render (H', W', 3): distortion, slight vignetting, grain; uint8 footage size."""
    if lens.k1:
        height, width = picture.shape[:2]
        focal = lens.focal_px * width / (lens.width * lens.overscan)
        at = lens.rays(lens.width, lens.height) * focal + [width / 2 - 0.5, height / 2 - 0.5]
        picture = cv2.remap(picture, at.astype(np.float32), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    linear = picture.astype(np.float32)
    y, x = np.mgrid[0 : lens.height, 0 : lens.width].astype(np.float32)
    radius2 = ((x - lens.width / 2) ** 2 + (y - lens.height / 2) ** 2) / (lens.width**2 + lens.height**2) * 4
    linear *= (1 - 0.12 * radius2**2)[..., None]
    grey = rng.standard_normal(linear.shape[:2]).astype(np.float32)
    colour = rng.standard_normal(linear.shape).astype(np.float32)
    noise = cv2.GaussianBlur(grey[..., None] * 0.8 + colour * 0.5, (0, 0), 0.6) * 1.9
    linear += noise * (GRAIN * (0.6 + 0.8 * np.sqrt(np.clip(linear, 0, 255) / 255)))
    return np.clip(linear + 0.5, 0, 255).astype(np.uint8)


def encode(path: Path, pictures, lens: Lens, fps: int, rotate_deg: int = 0) -> None:
    """Write uint8 RGB ``pictures`` as H.264, yuv420p, BT.709.

    With ``rotate_deg`` the coded pictures are turned and a display matrix turns them back, as phones do it.
    """
    with av.open(str(path), "w") as movie:
        stream = movie.add_stream("libx264", rate=Fraction(fps))
        turned = rotate_deg % 180 == 90
        stream.width, stream.height = (lens.height, lens.width) if turned else (lens.width, lens.height)
        stream.pix_fmt = "yuv420p"
        stream.options = {
            "crf": "18",
            "preset": "slow",
            "threads": "1",
            "x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709",
        }
        if rotate_deg:
            stream.set_display_rotation(rotate_deg)
        for picture in pictures:
            coded = np.ascontiguousarray(np.rot90(picture, -rotate_deg // 90)) if rotate_deg else picture
            frame = av.VideoFrame.from_ndarray(coded, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            for packet in stream.encode(frame):
                movie.mux(packet)
        for packet in stream.encode():
            movie.mux(packet)


def depth_picture(depth_m: np.ndarray) -> np.ndarray:
    """uint16 millimetres, 0 = none or beyond 65.5 m; far values are rounded to 1/4096 so that the PNG stays small."""
    mm = np.where(depth_m < 65.5, depth_m * 1000.0, 0.0)
    step = 2.0 ** np.maximum(np.floor(np.log2(np.maximum(mm, 1.0))) - 12, 0)
    return (np.round(mm / step) * step).astype(np.uint16)


def develop(rendered: Path, clip: Path, module_facts: dict, lens: Lens, fps: int) -> dict:
    """Write ``clip`` (clip.mp4, clip.json, poses_c2w.txt, intrinsics.txt, depth/, moving/) from ``rendered``."""
    poses = np.load(rendered / "poses.npy")
    rng = np.random.default_rng(len(module_facts["title"]))
    for part in ("depth", "moving"):
        (clip / part).mkdir(parents=True, exist_ok=True)
    best = [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    shown = []
    moving_share = 0.0
    for i in range(len(poses)):
        render = cv2.imread(str(rendered / "rgb" / f"{i:04d}.png"), cv2.IMREAD_COLOR)
        shown.append(filmed(render[..., ::-1], lens, rng))
        truth = np.load(rendered / "truth" / f"{i:04d}.npz")
        cv2.imwrite(str(clip / "depth" / f"{i:04d}.png"), depth_picture(truth["depth"]), best)
        mask = truth["moving"].astype(np.uint8) * 255
        cv2.imwrite(str(clip / "moving" / f"{i:04d}.png"), mask, [*best, cv2.IMWRITE_PNG_BILEVEL, 1])
        moving_share += truth["moving"].mean() / len(poses)
    encode(clip / "clip.mp4", shown, lens, fps, module_facts.get("rotate_deg", 0))
    np.savetxt(clip / "poses_c2w.txt", poses[:, :3].reshape(len(poses), 12), fmt="%.9f")
    K = [[lens.focal_px, 0, lens.width / 2], [0, lens.focal_px, lens.height / 2], [0, 0, 1]]
    np.savetxt(clip / "intrinsics.txt", K, fmt="%.6f")
    height, width = truth["depth"].shape
    facts = {
        "fps": fps,
        "dynamic": True,
        "source": f"rendered by tests/data/render: {module_facts['title']}",
        "licence": "CC0-1.0",
        "frames": len(poses),
        "width": lens.width,
        "height": lens.height,
        "k1": lens.k1,
        "motion": module_facts["motion"],
        "depth_unit": "mm",
        "depth_width": width,
        "depth_height": height,
        "path_m": round(float(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).sum()), 4),
        "moving_share": round(moving_share, 4),
        "rotation_deg": module_facts.get("rotate_deg", 0),
        "render": f"Blender Cycles, {module_facts['samples']} samples denoised, shutter 0.25, grain {GRAIN}",
    }
    (clip / "clip.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return facts
