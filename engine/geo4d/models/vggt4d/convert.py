"""An official checkpoint to one safetensors file of the parts that inference uses, under one set of names."""

import hashlib
import json
from pathlib import Path

import torch

from ... import __version__
from ...progress import Progress, Silent
from .. import weight_file
from .checkpoint import CONFIG, read, sizes_of
from .sizes import Unwritten, to_config

FORMAT = "vggt-weights-1"
_READ_BYTES = 1 << 24
# Bytes to sha256 of releases whose hash is known from one third party alone: another one is told, not refused.
_REPORTED = {
    5_026_367_224: (
        "f164acf60724910d8fe1578bb499d800850c7bb0948db7555c413f9fbe60467e",  # VGGT-1B
        "2b766b284359bc47ce26be107254621f685b758a0282082ff109f3ff02788b53",  # VGGT-1B-Commercial
    ),
    5_026_874_952: ("d15bf50a8615c8225ed48b51ea5cac673d82442ec0309036df555a053253afe0",),  # VGGT-1B, model.pt
    7_215_706_998: ("b6be863f30b74f7a7bebd2be79e349f38e0d6c3540a469205f287b3997a037c8",),  # 4D-VGGT geometry v1
}


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
    digest, total, done = hashlib.sha256(), source.stat().st_size, 0
    with open(source, "rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
            done += len(part)
            progress.advance("read", done, total)
    sha256 = digest.hexdigest()
    if sha256 not in _REPORTED.get(total, ()):
        progress.warn(
            "weights_unknown",
            f"The sha256 of {source.name} ({total} bytes) is {sha256[:16]}..., of no release known here.",
            "Its layout is right; make sure that it came from where geo4d models info says.",
        )
    metadata = {
        "format": FORMAT,
        CONFIG: json.dumps(to_config(found)),
        "source": json.dumps([{"file": source.name, "bytes": total, "sha256": sha256}]),
        "converted_by": f"geo4d {__version__}",
    }
    return weight_file.write(output, tensors, metadata, torch.float32, progress)
