"""Training batches from stored examples: a pool in memory that grows while more are being made."""

from pathlib import Path

import numpy as np
import torch

from ...multiview import network_input, plane_sweep
from . import examples

HELD_OUT_EVERY = 20  # of the clips, by seed, one is kept for validation
POOL = 2400  # examples held in memory, about 1.5 MB each
CROP = (160, 192)  # pixels (h, w) of the maps, multiples of 32
HALVES = ("maps", "base", "target", "moving", "valid")  # at half resolution; the sweep is at a quarter
FLOOR = (network_input.FLOOR, network_input.FLOOR + 1)
POINTS = (network_input.RAY_X - 2, network_input.RAY_X - 1)


class Pool:
    """Examples of a folder of .npz files, one a clip."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.known: set[Path] = set()
        self.clips: list[dict[str, np.ndarray]] = []
        self.validation: list[dict[str, np.ndarray]] = []
        self.count = 0

    def refresh(self) -> None:
        """Take in what has been stored since the last call. A file that cannot be read is left out."""
        for path in sorted(self.folder.glob("[0-9]*.npz")):
            if path in self.known or self.count >= POOL:
                continue
            self.known.add(path)
            try:
                clip = examples.load(path)
            except (OSError, ValueError, KeyError, EOFError):
                continue
            if clip["maps"].shape[1] != network_input.CHANNELS or clip["sweep"].shape[1] != plane_sweep.CHANNELS:
                continue
            if int(path.stem) % HELD_OUT_EVERY == 0:
                self.validation.append(clip)
            else:
                self.clips.append(clip)
                self.count += len(clip["maps"])

    def batch(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """A batch: mostly four crops of different clips, sometimes one whole frame and a second of its size."""
        if rng.random() < 0.35:
            first = self.clips[rng.integers(len(self.clips))]
            same = [c for c in self.clips if c["maps"].shape[2:] == first["maps"].shape[2:]]
            chosen = [first, same[rng.integers(len(same))]]
            crop = None
        else:
            chosen = [self.clips[k] for k in rng.integers(0, len(self.clips), 4)]
            crop = CROP
        picked = [augment(_window(_pick(c, rng), crop, rng), rng) for c in chosen]
        return {name: torch.from_numpy(np.stack([p[name] for p in picked])) for name in picked[0]}


def _pick(clip: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    k = rng.integers(len(clip["maps"]))
    return {name: v[k] if v.dtype == bool else v[k].astype(np.float32) for name, v in clip.items()}


def _window(example, crop, rng) -> dict[str, np.ndarray]:
    if crop is None:
        return example
    h, w = (2 * n for n in example["maps"].shape[1:])
    ch, cw = min(crop[0], h), min(crop[1], w)
    y, x = 4 * rng.integers((h - ch) // 4 + 1), 4 * rng.integers((w - cw) // 4 + 1)
    out = {name: example[name][:, y // 2 : (y + ch) // 2, x // 2 : (x + cw) // 2] for name in HALVES}
    out["sweep"] = example["sweep"][:, y // 4 : (y + ch) // 4, x // 4 : (x + cw) // 4]
    if (ch, cw) != crop:  # a frame smaller than the crop: its edge is repeated
        for name, v in out.items():
            side = 4 if name == "sweep" else 2
            grow = [(0, 0)] + [(0, n // side - m) for n, m in zip(crop, v.shape[1:], strict=True)]
            out[name] = np.pad(v, grow, mode="constant" if name == "valid" else "edge")
    return out


def augment(example: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mirror, colours, and evidence that is missing at times."""
    out = dict(example)
    if rng.random() < 0.5:
        out = {name: np.ascontiguousarray(v[..., ::-1]) for name, v in out.items()}
        for name in ("base", "target", "moving", "valid"):
            out[name] = out[name][list(network_input.SWAPPED)]
        maps = network_input.mirror(example["maps"])
    else:
        maps = example["maps"].copy()
    out["maps"] = maps
    gain, offset = np.exp(rng.normal(0, 0.15, 3)), rng.normal(0, 0.06, 3)
    for k in range(3):
        maps[4 * k : 4 * k + 4] = maps[4 * k : 4 * k + 4] * gain[k] + offset[k]
    if rng.random() < 0.15:  # black and white
        maps[:12] = np.tile(maps[:12].reshape(3, 4, *maps.shape[1:]).mean(0), (3, 1, 1))
    if rng.random() < 0.15:  # another palette: channels mixed at random
        mix = rng.dirichlet([0.5] * 3, 3)
        maps[:12] = np.einsum("ab,bnhw->anhw", mix, maps[:12].reshape(3, 4, *maps.shape[1:])).reshape(
            12, *maps.shape[1:]
        )
    if rng.random() < 0.1:
        maps[list(POINTS)] = 0
    if rng.random() < 0.1:
        maps[list(FLOOR)] = 0
        maps[network_input.STANDING :] = 0
    if rng.random() < 0.05:
        maps[network_input.PLANES : network_input.STANDING] = 0
    if rng.random() < 0.05:
        out["sweep"] = np.full_like(out["sweep"], plane_sweep.UNSEEN)
    return out
