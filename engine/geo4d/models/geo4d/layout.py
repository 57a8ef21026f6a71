"""Names and shapes of every tensor of the released checkpoints, from the modules themselves."""

import json
import math
from dataclasses import asdict, dataclass, field

import torch

from ...errors import BadRequest
from . import schedule
from .clip import ImageTower, TextTower
from .config import ResamplerConfig, TextConfig, UNetConfig, VAEConfig, VisionConfig, from_mapping
from .resampler import Resampler
from .unet import UNet
from .vae import VAE

UNET, IMAGE_VAE, TEXT, IMAGE, RESAMPLER = (
    "model.diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.",
    "embedder.",
    "image_proj_model.",
)
_SHOWN = 3  # names listed in an error

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """Sizes of all networks of one checkpoint; the defaults are the released ones."""

    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    text: TextConfig = field(default_factory=TextConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    resampler: ResamplerConfig = field(default_factory=ResamplerConfig)
    pixels: int = 512 * 320  # of the pictures that the network was trained on

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Sizes":
        kinds = {"unet": UNetConfig, "vae": VAEConfig, "text": TextConfig, "vision": VisionConfig}
        kinds["resampler"] = ResamplerConfig
        try:
            stored = json.loads(text)
            pixels = int(stored.pop("pixels", cls.pixels))
            return cls(**{name: from_mapping(kinds[name], v) for name, v in stored.items()}, pixels=pixels)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadRequest(
                "bad_sizes",
                f"The sizes of the network cannot be understood ({error}).",
                f"A JSON object with {', '.join(kinds)} is wanted.",
            ) from error


def shapes_of(build, *arguments, **options) -> Shapes:
    """Names and shapes of a module's parameters, without allocating them."""
    with torch.device("meta"):
        module = build(*arguments, **options)
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def main_layout(sizes: Sizes) -> Shapes:
    """The main checkpoint: 2554 tensors at the released sizes."""
    shapes = {name: values.shape for name, values in schedule.checkpoint_buffers().items()}
    parts = (
        (UNET, shapes_of(UNet, sizes.unet)),
        (IMAGE_VAE, vae_layout(sizes)),
        (TEXT, shapes_of(TextTower, sizes.text)),
        (IMAGE, shapes_of(ImageTower, sizes.vision, sizes.text)),
        (RESAMPLER, shapes_of(Resampler, sizes.resampler)),
    )
    for prefix, part in parts:
        shapes |= {prefix + name: shape for name, shape in part.items()}
    return shapes


def vae_layout(sizes: Sizes) -> Shapes:
    """The point-map VAE's checkpoint, and the image VAE inside the main one: 282 tensors."""
    return shapes_of(VAE, sizes.vae)


def converted_bytes(sizes: Sizes) -> int:
    """What the converted file will hold, about: network and the used parts of both autoencoders in half precision."""
    parts = (shapes_of(UNet, sizes.unet), vae_layout(sizes), shapes_of(VAE, sizes.vae, ("decoder", "decoder_adaptor")))
    return 2 * sum(math.prod(shape) for part in parts for shape in part.values())


def check_layout(found: Shapes, expected: Shapes, what: str) -> None:
    """Raise BadRequest naming what is missing, surplus or of another shape."""
    missing = [name for name in expected if name not in found]
    surplus = [name for name in found if name not in expected]
    reshaped = [f"{n} is {found[n]}, not {expected[n]}" for n in expected if n in found and found[n] != expected[n]]
    complaints = [
        f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''})"
        for kind, names in (("missing", missing), ("not known", surplus), ("of another shape", reshaped))
        if names
    ]
    if complaints:
        raise BadRequest(
            "checkpoint_layout",
            f"{what} does not have the tensors of Geo4D: {'; '.join(complaints)}.",
            "Give the two files of the official release, model.ckpt and vae.ckpt, unchanged.",
        )
