"""Reading the released checkpoints without ever running code from them."""

import contextlib
import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from ...errors import BadRequest

_WRAPPER = "_forward_module."
_VAE_PREFIX = "model."
_UNET_PREFIX = "model.diffusion_model."
_RENAMED = ("framestride_embed", "fps_embedding")  # an older name of the same layers
# Training frameworks leave their own objects beside the weights. They are read as empty shells.
_SHELLS = ("pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.", "deepspeed.", "argparse.Namespace")

_OFFICIAL = "Give the files of the official release, downloaded again if need be."


class _Shell:
    """Takes the place of a training framework's object; keeps nothing and does nothing."""

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, _state):
        pass


def read_main(path: str | Path) -> dict[str, Tensor]:
    """Tensors of the main checkpoint by their official keys, memory-mapped; both wrapper shapes are known."""
    content = _read(path)
    if isinstance(content.get("state_dict"), dict):
        state = content["state_dict"]
    elif isinstance(content.get("module"), dict):
        state = {key.removeprefix(_WRAPPER): value for key, value in content["module"].items()}
    else:
        raise _not_geo4d(path, f"its top level holds {_names(content)}")
    state = {key.replace(*_RENAMED): value for key, value in _tensors(state, path).items()}
    if not any(key.startswith(_UNET_PREFIX) for key in state):
        if any(key.startswith(_VAE_PREFIX + "decoder.") for key in state):
            raise BadRequest(
                "checkpoint_swapped",
                f"{path} is a VAE checkpoint, not the main model.",
                "Give model.ckpt first and vae.ckpt second.",
            )
        raise _not_geo4d(path, f"no tensor begins with {_UNET_PREFIX}")
    return state


def read_vae(path: str | Path) -> dict[str, Tensor]:
    """Tensors of the point-map VAE's checkpoint, memory-mapped; others beside it are left out."""
    content = _read(path)
    if not isinstance(content.get("state_dict"), dict):
        raise _not_geo4d(path, f"its top level holds {_names(content)}")
    state = _tensors(content["state_dict"], path)
    if any(key.startswith(_UNET_PREFIX) for key in state):
        raise BadRequest(
            "checkpoint_swapped",
            f"{path} is the main model, not the point-map VAE.",
            "Give model.ckpt first and vae.ckpt second.",
        )
    return {key.removeprefix(_VAE_PREFIX): value for key, value in state.items() if key.startswith(_VAE_PREFIX)}


def _read(path: str | Path) -> dict:
    path = Path(path)
    if not path.is_file():
        raise BadRequest("checkpoint_missing", f"There is no file {path}.", _OFFICIAL)
    zipped = zipfile.is_zipfile(path)
    try:
        with _shells(path) if zipped else contextlib.nullcontext():
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        wanted = _unknown_globals(path) if zipped else []
        if wanted:
            raise BadRequest(
                "checkpoint_unsafe",
                f"{path} asks for {', '.join(wanted[:3])} to be run, which a file of weights has no need of.",
                "It was not opened; " + _OFFICIAL[0].lower() + _OFFICIAL[1:],
            ) from error
        raise BadRequest("checkpoint_unreadable", f"{path} is not a file of weights.", _OFFICIAL) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadRequest("checkpoint_unreadable", f"{path} is damaged or cut short ({reason}).", _OFFICIAL) from error
    if not isinstance(content, dict):
        raise _not_geo4d(path, f"it holds a {type(content).__name__}")
    return content


def _unknown_globals(path: Path) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # any damage; the reader itself says what is wrong with the file
        return []


def _shells(path: Path):
    """Context in which framework objects of ``path`` are read as shells."""
    known = [name for name in _unknown_globals(path) if name.startswith(_SHELLS)]
    shells = [(type("Shell", (_Shell,), {}), name) for name in known]
    return torch.serialization.safe_globals(shells)


def _tensors(state: dict, path: str | Path) -> dict[str, Tensor]:
    strangers = [key for key, value in state.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
    if strangers:
        raise _not_geo4d(path, f"{strangers[0]!r} is not a tensor")
    return state


def _not_geo4d(path: str | Path, why: str) -> BadRequest:
    return BadRequest("checkpoint_unknown", f"{path} is not a checkpoint of Geo4D: {why}.", _OFFICIAL)


def _names(content: dict) -> str:
    names = ", ".join(repr(key) for key in list(content)[:3])
    return names or "nothing"
