"""Picture of many procedural clips at once: ``python -m geo4d.training.scenes.contact_sheet OUT.png``."""

import argparse
import time

import cv2
import numpy as np
import torch

from .clip import Clips, make_clips


def sheet(clips: Clips, frame: int = 0) -> np.ndarray:
    """A row a clip: first and last frame, inverse depth, normals, flow, moving mask; uint8 RGB."""
    rows = []
    for b in range(len(clips.rgb)):
        inverse = (1 / clips.depth[b, frame]).cpu().numpy()
        low, high = np.percentile(inverse, [1, 99])
        inverse = np.clip((inverse - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
        depth = cv2.applyColorMap(inverse, cv2.COLORMAP_TURBO)[..., ::-1]
        normals = ((clips.normals[b, frame].cpu().numpy() * [1, -1, -1] + 1) * 127.5).astype(np.uint8)
        flow = clips.flow[b, frame].cpu().numpy()
        angle, length = np.arctan2(flow[..., 1], flow[..., 0]), np.hypot(flow[..., 0], flow[..., 1])
        hsv = np.stack([(angle + np.pi) * 90 / np.pi, 255 + 0 * angle, np.clip(length * 40, 0, 255)], -1)
        colours = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
        moving = np.repeat(clips.moving[b, frame].cpu().numpy()[..., None] * np.uint8(255), 3, axis=2)
        film = [clips.rgb[b, k].cpu().numpy() for k in (frame, -1)]
        rows.append(np.hstack([*film, depth, normals, colours, moving]))
    return np.vstack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 144), metavar=("W", "H"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    started, made = time.perf_counter(), []
    for seed in range(arguments.seed, arguments.seed + arguments.clips):
        width, height = arguments.size
        made.append(make_clips([seed], arguments.frames, height, width, device=arguments.device))
    seconds = time.perf_counter() - started
    picture = np.vstack([sheet(clips) for clips in made])
    cv2.imwrite(arguments.output, picture[..., ::-1])
    frames = arguments.clips * arguments.frames
    print(
        f"{arguments.clips / seconds:.2f} clips/s, {frames / seconds:.1f} frames/s of {arguments.size[0]} x "
        f"{arguments.size[1]} on {arguments.device} with {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
