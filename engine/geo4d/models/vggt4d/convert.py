"""An official checkpoint to one safetensors file of the parts that inference uses, under one set of names."""

import hashlib
import json
from pathlib import Path

import torch

from ... import __version__
from ...progress import Progress, Silent
from .. import weight_file
from .checkpoint import CONFIG, read, sizes_of
from .sizes import Unwritten

FORMAT = "vggt-weights-1"
_READ_BYTES = 1 << 24


def convert(source: str | Path, output: str | Path, sizes: str | None = None, progress: Progress | None = None) -> dict:
    """Write ``output`` from a checkpoint; returns the manifest beside it.

    ``sizes`` is JSON as in a release's ``model_config``, for a network whose file lacks it. Raises BadRequest for
    anything but a whole checkpoint, OutputError where it cannot be written.
    """
    progress, source = progress or Silent(), Path(source)
    tensors, unwritten = read(source)
    if sizes is not None:
        unwritten = Unwritten.from_config(json.loads(sizes))
    found = sizes_of(source, {name: tuple(t.shape) for name, t in tensors.items()}, unwritten)
    config = {
        "encoder_heads": found.encoder.heads or None,
        "spatial_head_options": {"num_heads": found.camera_heads},
        "cached_layer_indices": list(found.taps),
        "rope_freq": found.rope_base,
        "aa_block_size": found.group,
        "img_size": found.image,
    }
    digest, total, done = hashlib.sha256(), source.stat().st_size, 0
    with open(source, "rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
            done += len(part)
            progress.advance("read", done, total)
    metadata = {
        "format": FORMAT,
        CONFIG: json.dumps(config),
        "source": json.dumps([{"file": source.name, "bytes": total, "sha256": digest.hexdigest()}]),
        "converted_by": f"geo4d {__version__}",
    }
    return weight_file.write(output, tensors, metadata, torch.float32, progress)
