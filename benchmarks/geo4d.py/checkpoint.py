"""The two official files with random numbers in them: key for key and byte for byte as large as the released ones."""

import math
import mmap
from pathlib import Path

import torch
from geo4d.models.geo4d import layout
from geo4d.models.geo4d.layout import Sizes
from geo4d.models.geo4d.schedule import checkpoint_buffers


def write_official_files(folder: Path) -> tuple[Path, Path]:
    """model.ckpt (10.4 GB) and vae.ckpt (0.3 GB) in ``folder``, without holding them in memory."""
    main, vae = folder / "model.ckpt", folder / "vae.ckpt"
    sizes = Sizes()
    _write(main, layout.main_layout(sizes), 1)
    _write(vae, {"model." + key: shape for key, shape in layout.vae_layout(sizes).items()}, 2)
    return main, vae


def _write(path: Path, shapes: layout.Shapes, seed: int) -> None:
    """A file of holes in the format of torch.save, then filled through a shared mapping."""
    with torch.serialization.skip_data():  # memory that is never touched is never taken
        torch.save({"state_dict": {key: torch.empty(shape) for key, shape in shapes.items()}}, path)
    draw = torch.Generator().manual_seed(seed)
    buffers = checkpoint_buffers()
    before = torch.serialization.get_default_mmap_options()
    torch.serialization.set_default_mmap_options(mmap.MAP_SHARED)
    try:
        state = torch.load(path, mmap=True, weights_only=True)["state_dict"]
    finally:
        torch.serialization.set_default_mmap_options(before)
    for key, tensor in state.items():
        if key in buffers:
            tensor.copy_(torch.from_numpy(buffers[key]))
        elif tensor.ndim > 1:
            tensor.normal_(0.0, math.prod(tensor.shape[1:]) ** -0.5, generator=draw)
        else:
            tensor.fill_(1.0 if key.endswith("weight") else 0.0)
