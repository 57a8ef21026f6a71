"""Weights on disk: safetensors written tensor by tensor, with a manifest that says what the bytes must be.

Checking them needs no torch, so it is imported where tensors are written.
"""

import hashlib
import json
import os
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadRequest, ModelMissing, OutputError
from ..progress import Progress, Silent
from ..scene.checkpoint import replace_atomically
from ..scene.workspace import output_errors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_NAMES = {"torch.float16": "F16", "torch.bfloat16": "BF16", "torch.float32": "F32"}
_SPARE_BYTES = 64 << 20
_HEADER_LIMIT = 100 << 20


def manifest_path(path: str | Path) -> Path:
    path = Path(path)
    return path.with_name(path.name + ".json")


def write(
    path: str | Path,
    tensors: "dict[str, Tensor]",
    metadata: dict[str, str],
    dtype: "torch.dtype",
    progress: Progress | None = None,
) -> dict:
    """Write ``tensors`` as ``dtype`` to ``path`` with one tensor in memory at a time; returns the manifest.

    A tensor whose values exceed the range of ``dtype`` is kept in float32. Raises BadRequest for a value that is not
    a number, OutputError where there is no room. The file appears whole or not at all.
    """
    import torch

    path, progress = Path(path), progress or Silent()
    dtypes = {name: _fitting(name, tensor, dtype) for name, tensor in tensors.items()}
    header, offset = {"__metadata__": metadata}, 0
    for name, tensor in tensors.items():
        end = offset + tensor.numel() * dtypes[name].itemsize
        header[name] = {"dtype": _NAMES[str(dtypes[name])], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    partial = path.with_name(path.name + ".partial")
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        check_room(path.parent, offset + len(text))
        try:
            digest = hashlib.sha256()
            with open(partial, "wb") as file:
                _put(file, digest, struct.pack("<Q", len(text)) + text)
                for done, (name, tensor) in enumerate(tensors.items()):
                    progress.advance("write", done, len(tensors))
                    data = tensor.detach().to(dtypes[name]).contiguous()
                    _put(file, digest, data.reshape(-1).view(torch.uint8).numpy().data)
                file.flush()
                os.fsync(file.fileno())
            manifest = {"file": path.name, "bytes": 8 + len(text) + offset, "sha256": digest.hexdigest(), **metadata}
            manifest_path(path).unlink(missing_ok=True)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        replace_atomically(manifest_path(path), lambda p: p.write_text(json.dumps(manifest, indent=1)))
    progress.advance("write", len(tensors), len(tensors))
    return manifest


def read_manifest(path: str | Path) -> dict:
    """The manifest of the weights at ``path``. Raises ModelMissing where they or it are absent."""
    path = Path(path)
    if not path.is_file():
        raise ModelMissing("weights_missing", f"There are no weights at {path}.", "Run geo4d models list.")
    try:
        return json.loads(manifest_path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadRequest(
            "weights_unverified", f"{manifest_path(path)} is missing or damaged.", "Convert or download again."
        ) from error


def verify(path: str | Path) -> dict:
    """Compare size and hash with the manifest; returns it. Raises BadRequest where they differ."""
    manifest, path = read_manifest(path), Path(path)
    size = path.stat().st_size
    if size != manifest["bytes"]:
        raise _changed(path, f"it has {size} bytes, not {manifest['bytes']}")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != manifest["sha256"]:
        raise _changed(path, f"its sha256 is {digest[:12]}..., not {manifest['sha256'][:12]}...")
    return manifest


def read_metadata(path: str | Path) -> dict[str, str]:
    """Metadata of a safetensors file; checks that the file is as long as its header says."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _HEADER_LIMIT:
                raise ValueError(f"header of {length} bytes")
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if path.stat().st_size != 8 + length + max(ends, default=0):
            raise ValueError("the file is cut short")
        return header.get("__metadata__", {})
    except FileNotFoundError as error:
        raise ModelMissing("weights_missing", f"There are no weights at {path}.", "Run geo4d models list.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise _changed(path, f"it is no safetensors file ({error})") from error


def check_room(folder: Path, needed: int) -> None:
    """Raise OutputError where the disk of ``folder``, which need not exist yet, has less than ``needed`` bytes."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed + _SPARE_BYTES:
        raise OutputError(
            "disk_full",
            f"{folder} has {free / 2**30:.1f} GiB free; the weights need {needed / 2**30:.1f} GiB.",
            "Free some space or choose another folder.",
        )


def _fitting(name: str, tensor: "Tensor", dtype: "torch.dtype") -> "torch.dtype":
    import torch

    largest = tensor.detach().abs().amax().item() if tensor.numel() else 0.0
    if not largest < float("inf"):  # also for not-a-number
        raise BadRequest(
            "weights_not_finite", f"The tensor {name} holds values that are not numbers.", "Download the file again."
        )
    return dtype if largest <= torch.finfo(dtype).max else torch.float32


def _put(file, digest, data) -> None:
    file.write(data)
    digest.update(data)


def _changed(path: Path, how: str) -> BadRequest:
    return BadRequest("weights_changed", f"{path} is damaged or was changed: {how}.", "Convert or download it again.")
