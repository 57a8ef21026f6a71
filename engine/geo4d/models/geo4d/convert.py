"""The two released checkpoints to one safetensors file in half precision, without the CLIP towers.

The released system feeds its context encoders a fixed prompt and an empty picture, so what they answer is a
constant: it is computed here once and stored, and more than a billion parameters stay behind.
"""

import gc
import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from ... import __version__
from ...errors import BadRequest
from ...progress import Progress, Silent
from .. import weight_file
from . import clip, layout
from .checkpoint import read_main, read_vae
from .layout import Sizes
from .resampler import Resampler
from .vae import VAE

FORMAT = "geo4d-weights-1"
# What inference uses of each autoencoder.
IMAGE_PARTS = ("encoder", "decoder")
POINT_PARTS = ("decoder", "decoder_adaptor")


def convert(
    main: str | Path,
    vae: str | Path,
    output: str | Path,
    sizes: Sizes | str | None = None,
    progress: Progress | None = None,
) -> dict:
    """Write ``output`` from the main checkpoint and the point-map VAE's; returns the manifest beside it.

    Raises BadRequest for anything but the official layout, OutputError where it cannot be written. Nothing is left
    behind on failure. ``sizes``, also as JSON, are those of a network of this kind other than the released one.
    """
    progress, sizes = progress or Silent(), Sizes.from_json(sizes) if isinstance(sizes, str) else sizes or Sizes()
    output = Path(output)
    weight_file.check_room(output.parent, layout.converted_bytes(sizes))
    progress.advance("read", 0, 4)
    main_state = read_main(main)
    layout.check_layout(_shapes(main_state), layout.main_layout(sizes), str(main))
    point_state = read_vae(vae)
    layout.check_layout(_shapes(point_state), layout.vae_layout(sizes), str(vae))
    progress.advance("read", 1, 4)
    source = [_provenance(main), _provenance(vae)]
    progress.advance("read", 2, 4)

    tensors = context_tensors(main_state, sizes)
    progress.advance("read", 3, 4)
    gc.collect()
    tensors |= _under("unet.", _part(main_state, layout.UNET), None)
    image_names = layout.shapes_of(VAE, sizes.vae, IMAGE_PARTS)
    tensors |= _under("image_vae.", _part(main_state, layout.IMAGE_VAE), image_names)
    tensors |= _under("point_vae.", point_state, layout.shapes_of(VAE, sizes.vae, POINT_PARTS))
    metadata = {
        "format": FORMAT,
        "model": "geo4d",
        "sizes": sizes.to_json(),
        "source": json.dumps(source),
        "converted_by": f"geo4d {__version__}",
    }
    progress.advance("read", 4, 4)
    return weight_file.write(output, tensors, metadata, torch.float16, progress)


@torch.inference_mode()
def context_tensors(main_state: dict[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
    """The constant contexts: prompt (1, 77, C), empty prompt for guidance, and empty picture (1, 256, C)."""
    text = _loaded(clip.TextTower, (sizes.text,), _part(main_state, layout.TEXT))
    prompt = text(clip.prompt_tokens(clip.PROMPT))
    empty = text(clip.prompt_tokens(clip.EMPTY_PROMPT))
    del text
    image = _loaded(clip.ImageTower, (sizes.vision, sizes.text), _part(main_state, layout.IMAGE))
    side = sizes.vision.image_size
    tokens = image(clip.preprocess(torch.zeros(1, 3, side, side), side))
    del image
    resampler = _loaded(Resampler, (sizes.resampler,), _part(main_state, layout.RESAMPLER))
    return {"context.text": prompt, "context.empty": empty, "context.image": resampler(tokens)}


def _loaded(build, arguments: tuple, state: dict[str, Tensor]) -> nn.Module:
    with torch.device("meta"):
        module = build(*arguments)
    module.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return module.eval()


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _under(prefix: str, state: dict[str, Tensor], names) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items() if names is None or key in names}


def _shapes(state: dict[str, Tensor]) -> layout.Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


def _provenance(path: str | Path) -> dict:
    path = Path(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest}


def check_format(metadata: dict, path: str | Path) -> None:
    """Raise BadRequest unless ``metadata`` is that of a file written by :func:`convert`."""
    if metadata.get("format") != FORMAT:
        raise BadRequest(
            "weights_format",
            f"{path} has the format {metadata.get('format', 'unknown')}, not {FORMAT}.",
            "Convert the official checkpoints again: geo4d models convert --model geo4d MODEL.ckpt VAE.ckpt",
        )
