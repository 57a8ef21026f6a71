"""Official checkpoints of the VGGT family, read as they are: names mapped, every name and shape checked."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...errors import BadRequest, ModelMissing, OutOfMemory
from .. import weight_file
from .network import Network
from .sizes import CAMERA, DENSE, SPATIAL, Shapes, Sizes, Unwritten, infer

CONFIG = "config"  # key of our own files' metadata: JSON as in a release's model_config
_RELEASE = "4d-vggt-geometry-v1"
_PREFIXES = (
    ("aggregator.", f"{SPATIAL}."),
    ("camera_head.", f"{CAMERA}."),
    ("depth_head.", f"{DENSE}.depth_head."),
    ("point_head.", f"{DENSE}.point_head."),
)
# In released files, without use for cameras, depth and points.
_LEFT = ("track_head.", f"{SPATIAL}._resnet_", f"{SPATIAL}.patch_embed.mask_token")
_SHOWN = 3


def load(path: str | Path, unwritten: Unwritten | None = None) -> Network:
    """The network of a checkpoint; its tensors stay in the file until they are used.

    ``unwritten`` overrides what the file says of itself. Raises ModelMissing for no file, BadRequest for any other
    than a whole checkpoint of the family.
    """
    path = Path(path)
    tensors, config = read(path)
    sizes = sizes_of(path, {name: tuple(t.shape) for name, t in tensors.items()}, unwritten or config)
    with torch.device("meta"):
        network = Network(sizes)
    network.load_state_dict(tensors, assign=True)
    return network.requires_grad_(False).eval()


def read(path: Path) -> tuple[dict[str, Tensor], Unwritten]:
    """Tensors that inference uses, by internal names, mapped from the file; and what the file says of itself."""
    if not path.is_file():
        raise ModelMissing("weights_missing", f"There are no weights at {path}.", "Run geo4d models list.")
    with open(path, "rb") as file:
        is_zip = file.read(2) == b"PK"
    tensors, config = _read_pickle(path) if is_zip else _read_safetensors(path)
    named = {}
    for name, tensor in tensors.items():
        name = internal_name(name)
        if not isinstance(tensor, Tensor):
            raise _wrong(path, f"{name} is no tensor")
        if not name.startswith(_LEFT):
            named[name] = tensor
    try:
        return named, Unwritten.from_config(config)
    except (TypeError, ValueError, AttributeError) as error:
        raise _wrong(path, f"its configuration cannot be read ({error})") from error


def internal_name(name: str) -> str:
    """Names of VGGT under those of the 4D release."""
    name = name.removeprefix("module.")
    return next((new + name.removeprefix(old) for old, new in _PREFIXES if name.startswith(old)), name)


def sizes_of(path: Path, shapes: Shapes, unwritten: Unwritten) -> Sizes:
    """Sizes read off ``shapes``, which must be all of one network and nothing else."""
    try:
        sizes = infer(shapes, unwritten)
    except KeyError as error:
        raise _wrong(path, f"the tensor {error.args[0]} is missing") from error
    except (ValueError, IndexError, TypeError) as error:
        raise _wrong(path, str(error)) from error
    expected = layout(sizes)
    missing = [name for name in expected if name not in shapes]
    surplus = [name for name in shapes if name not in expected]
    differing = [name for name in expected if name in shapes and shapes[name] != expected[name]]
    other = [f"{name} is {shapes[name]}, not {expected[name]}" for name in differing]
    found = [f"{what} {_some(names)}" for what, names in (("it lacks", missing), ("it has unknown", surplus)) if names]
    if found or other:
        raise _wrong(path, "; ".join(found + ([_some(other)] if other else [])))
    return sizes


def layout(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Every tensor that a network of ``sizes`` has, with its shape."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in Network(sizes).state_dict().items()}


def _read_safetensors(path: Path) -> tuple[Mapping[str, Tensor], dict]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    metadata = weight_file.read_metadata(path)
    try:
        config = json.loads(metadata.get(CONFIG, "{}"))
        return load_file(path), config
    except (SafetensorError, ValueError, OSError, RuntimeError) as error:
        if "allocate memory" in str(error):
            raise _no_room(path) from error
        raise _wrong(path, f"it cannot be read ({error})") from error


def _read_pickle(path: Path) -> tuple[Mapping[str, Tensor], dict]:
    """A torch archive; nothing but tensors and plain values is ever built from it."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise BadRequest(
            "weights_unsafe",
            f"{path} holds more than tensors and plain values, so it is not opened.",
            "Use the file of the official release.",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        if "allocate memory" in reason:  # an intact file that no address space is left for
            raise _no_room(path) from error
        raise _wrong(path, f"it is cut short or damaged ({reason})") from error
    if not isinstance(content, Mapping):
        raise _wrong(path, f"it holds a {type(content).__name__}")
    architecture = content.get("architecture", _RELEASE)
    if architecture != _RELEASE:
        raise _wrong(path, f"its architecture is {architecture!r}, not {_RELEASE}")
    config = content.get("model_config") or {}
    inner = content.get("model", content.get("state_dict", content))
    if not isinstance(inner, Mapping):
        raise _wrong(path, "its model is no table of tensors")
    return inner, config


def _no_room(path: Path) -> OutOfMemory:
    return OutOfMemory(
        "out_of_memory", f"There is too little memory to open {path}.", "Close other programs, or use another device."
    )


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _wrong(path: Path, how: str) -> BadRequest:
    return BadRequest(
        "weights_wrong", f"{path} is no checkpoint of the VGGT family: {how}.", "Download the official file again."
    )
