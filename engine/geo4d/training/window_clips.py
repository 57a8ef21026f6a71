"""Short procedural clips with their truth, stored as they are, for networks that see windows of frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import GeoError
from ..scene.checkpoint import save_arrays
from . import seeded_files
from .scenes import make_clips

FRAMES, FPS = 8, 12.0
# Pixels (w, h) of the clip of a seed, by its remainder: most are wide, some 4:3, some upright.
SHAPES = ((160, 96), (160, 96), (96, 160), (160, 96), (144, 112), (160, 96), (112, 144))
HELD_OUT_EVERY = 20  # of the clips, by seed, one is kept for validation
FAR = 200.0  # metres; deeper than any scene


@dataclass
class Windows:
    """B windows of T frames. World = axes of each window's first camera (OpenCV), metres."""

    rgb: torch.Tensor  # (B, T, 3, H, W) float32, 0..1
    depth: torch.Tensor  # (B, T, H, W) float32 z-depth
    c2w: torch.Tensor  # (B, T, 4, 4) float32, the first is the identity
    K: torch.Tensor  # (B, T, 3, 3) float32 pixels; pixel (0, 0) is the top-left corner
    moving: torch.Tensor  # (B, T, H, W) bool
    sky: torch.Tensor  # (B, T, H, W) bool: the finite dome all round open scenes

    def to(self, device) -> "Windows":
        return Windows(**{name: value.to(device) for name, value in vars(self).items()})

    def rays(self) -> torch.Tensor:
        """Directions (B, T, 3, H, W) in each camera's own axes with z = 1, of pixel centres."""
        height, width = self.depth.shape[2:]
        x = torch.arange(width, device=self.K.device) + 0.5
        y = torch.arange(height, device=self.K.device) + 0.5
        fx, fy, cx, cy = (self.K[:, :, i, j, None, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
        across = ((x[None, None, None] - cx) / fx).expand(*self.depth.shape)
        down = ((y[None, None, :, None] - cy) / fy).expand(*self.depth.shape)
        return torch.stack([across, down, torch.ones_like(across)], dim=2)

    def points(self) -> torch.Tensor:
        """Point maps (B, T, 3, H, W) in the axes of the window's first camera."""
        local = self.rays() * self.depth[:, :, None]
        turned = torch.einsum("btij,btjhw->btihw", self.c2w[..., :3, :3], local)
        return turned + self.c2w[..., :3, 3, None, None]


def make_file(path, seed: int) -> bool:
    """The clip of one seed to one .npz."""
    width, height = SHAPES[seed % len(SHAPES)]
    clips = make_clips([seed], FRAMES, height, width, FPS, samples=1)
    save_arrays(
        path,
        rgb=clips.rgb[0].numpy(),
        depth=clips.depth[0].clamp(max=FAR).numpy().astype(np.float16),
        c2w=clips.c2w[0].numpy(),
        K=clips.K[0].numpy(),
        moving=clips.moving[0].numpy(),
        sky=clips.sky[0].numpy(),
    )
    return True


def fill(folder: Path, clips: int, progress, seed: int = 0, workers: int = 1) -> int:
    """Make clips until the folder holds so many; returns how many were made now. Raises OutputError."""
    return seeded_files.fill(folder, clips, make_file, progress, seed, workers)


class Store:
    """Clips of a folder, held in memory; takes in new ones while more are being made."""

    def __init__(self, folder: Path, most: int = 4000):
        self.folder, self.most = Path(folder), most
        self.train: list[dict[str, np.ndarray]] = []
        self.validation: list[dict[str, np.ndarray]] = []
        self._known: set[Path] = set()
        self.refresh()

    def refresh(self) -> None:
        """Take in what has been stored since the last call. A file that cannot be read is left out."""
        for path in seeded_files.stored(self.folder):
            if path in self._known or len(self.train) >= self.most:
                continue
            self._known.add(path)
            try:
                with np.load(path, allow_pickle=False) as data:
                    clip = dict(data)
            except (OSError, ValueError, KeyError, EOFError):
                continue
            kept = self.validation if int(path.stem) % HELD_OUT_EVERY == 0 else self.train
            kept.append(clip)

    def require(self) -> None:
        """Raise GeoError ``no_examples`` where there is nothing to learn from."""
        if not self.train:
            raise GeoError(
                "no_examples", f"There are no training clips in {self.folder}.", "Ask for some with --clips N."
            )

    def batch(self, rng: np.random.Generator, count: int, frames: int, size: tuple[int, int] | None = None) -> Windows:
        """``count`` training windows: a random stretch, forwards or backwards, mirrored and recoloured at times.

        ``size`` = (w, h): crops of that size at a random place, None = whole pictures, all of one shape.
        """
        chosen = [self.train[k] for k in rng.integers(0, len(self.train), count)]
        if size is None:
            shape = chosen[0]["depth"].shape
            alike = [clip for clip in self.train if clip["depth"].shape == shape]
            chosen[1:] = [alike[k] for k in rng.integers(0, len(alike), count - 1)]
        return _together([_augmented(_stretch(clip, rng, frames), rng, size) for clip in chosen])

    def held_out(self, frames: int) -> list[Windows]:
        """Each validation clip's first ``frames`` frames as a batch of one."""
        return [_together([_from(clip, np.arange(frames))]) for clip in self.validation]


def _stretch(clip: dict[str, np.ndarray], rng: np.random.Generator, frames: int) -> dict[str, np.ndarray]:
    most = (len(clip["rgb"]) - 1) // max(1, frames - 1)
    step = int(rng.integers(1, max(1, most) + 1))
    first = int(rng.integers(0, len(clip["rgb"]) - step * (frames - 1)))
    order = first + step * np.arange(frames)
    return _from(clip, order[::-1] if rng.random() < 0.5 else order)


def _from(clip: dict[str, np.ndarray], order: np.ndarray) -> dict[str, np.ndarray]:
    out = {name: value[order] for name, value in clip.items()}
    out["c2w"] = np.linalg.inv(out["c2w"][0]) @ out["c2w"]
    out["rgb"] = out["rgb"].transpose(0, 3, 1, 2).astype(np.float32) / 255.0
    out["depth"] = out["depth"].astype(np.float32)
    return out


def _augmented(window: dict[str, np.ndarray], rng: np.random.Generator, size) -> dict[str, np.ndarray]:
    height, width = window["depth"].shape[1:]
    K = window["K"] = window["K"].copy()
    if size is not None:
        x, y = int(rng.integers(0, width - size[0] + 1)), int(rng.integers(0, height - size[1] + 1))
        for name in ("rgb", "depth", "moving", "sky"):
            window[name] = window[name][..., y : y + size[1], x : x + size[0]]
        K[:, 0, 2] -= x
        K[:, 1, 2] -= y
        width = size[0]
    if rng.random() < 0.5:
        for name in ("rgb", "depth", "moving", "sky"):
            window[name] = np.ascontiguousarray(window[name][..., ::-1])
        flip = np.diag([-1.0, 1.0, 1.0, 1.0])
        window["c2w"] = flip @ window["c2w"] @ flip
        K[:, 0, 2] = width - K[:, 0, 2]
    rgb = window["rgb"] * np.exp(rng.normal(0, 0.15, (3, 1, 1))) + rng.normal(0, 0.05, (3, 1, 1))
    if rng.random() < 0.15:  # black and white
        rgb = np.broadcast_to(rgb.mean(1, keepdims=True), rgb.shape)
    elif rng.random() < 0.3:  # another palette: channels mixed at random
        rgb = np.einsum("ab,tbhw->tahw", rng.dirichlet([0.5] * 3, 3), rgb)
    window["rgb"] = np.clip(rgb, 0.0, 1.0).astype(np.float32)
    return window


def _together(windows: list[dict[str, np.ndarray]]) -> Windows:
    def stacked(name: str) -> torch.Tensor:
        whole = torch.from_numpy(np.stack([w[name] for w in windows]))
        return whole if whole.dtype == torch.bool else whole.float()

    return Windows(**{name: stacked(name) for name in Windows.__dataclass_fields__})
