"""The networks of Geo4D with their weights on a device: coding frames, denoising a window, decoding it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ...errors import GeoError
from .. import weight_file
from .attention import ContextKV
from .config import FRAMES
from .convert import IMAGE_PARTS, POINT_PARTS, check_format
from .layout import Sizes
from .unet import UNet
from .vae import VAE


@dataclass
class Contexts:
    """The constant contexts, one row each."""

    text: Tensor  # (1, 77, C) of the prompt
    empty: Tensor  # (1, 77, C) of the empty prompt, for guidance
    image: Tensor  # (1, 256, C)


class System:
    """All networks, in evaluation mode, on one device and in one floating-point type."""

    def __init__(self, unet: UNet, image_vae: VAE, point_vae: VAE, contexts: Contexts):
        self.unet, self.image_vae, self.point_vae, self.contexts = unet, image_vae, point_vae, contexts
        self._kv: dict[bool, list[ContextKV]] = {}
        for module in (unet, image_vae, point_vae):
            module.eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return self.unet.out[2].weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.out[2].weight.dtype

    def to(self, device, dtype: torch.dtype) -> "System":
        """Move to a device and type, with channels last in memory, which convolutions there prefer."""
        for module in (self.unet, self.image_vae, self.point_vae):
            module.to(device=device, dtype=dtype)
            for layer in module.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        self.contexts = Contexts(*(t.to(device, dtype) for t in vars(self.contexts).values()))
        self._kv.clear()
        return self

    def context(self, guided: bool = False) -> list[ContextKV]:
        """Keys and values of every cross-attention, made once; with ``guided`` a second row for the empty prompt."""
        if guided not in self._kv:
            rows = [self.contexts.text] + ([self.contexts.empty] if guided else [])
            context = torch.cat([torch.cat([row, self.contexts.image], dim=1) for row in rows])
            self._kv[guided] = self.unet.project_context(context, FRAMES)
        return self._kv[guided]

    def velocity(self, latent: Tensor, condition: Tensor, time: int, fs: int, guided: bool = False) -> Tensor:
        """Velocity (B, 16, T, h, w), float32; with ``guided`` rows of prompt and empty prompt, one batch."""
        x = torch.cat([latent, condition], dim=1).to(self.device, self.dtype)
        if guided:
            x = torch.cat([x, x])
        times, rates = (torch.full((len(x),), value, device=self.device) for value in (time, fs))
        return self.unet(x, times, self.context(guided), rates).float()


def load(path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> System:
    """The system from a converted file. Raises ModelMissing or BadRequest."""
    metadata = weight_file.read_metadata(path)
    check_format(metadata, path)
    sizes = Sizes.from_json(metadata["sizes"])
    with torch.device("meta"):
        unet, image_vae = UNet(sizes.unet), VAE(sizes.vae, IMAGE_PARTS)
        point_vae = VAE(sizes.vae, POINT_PARTS)
    modules = {"unet.": unet, "image_vae.": image_vae, "point_vae.": point_vae}
    states: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in (*modules, "context.")}
    with safe_open(path, "pt", device=str(device)) as file:
        for key in file.keys():
            prefix = next((p for p in states if key.startswith(p)), None)
            if prefix is not None:
                states[prefix][key.removeprefix(prefix)] = file.get_tensor(key).to(dtype)
    try:
        for prefix, module in modules.items():
            module.load_state_dict(states[prefix], assign=True)
        contexts = Contexts(*(states["context."][name] for name in ("text", "empty", "image")))
    except (RuntimeError, KeyError) as error:
        raise GeoError(
            "weights_incomplete", f"{path} lacks some of its tensors.", "Convert the checkpoints again."
        ) from error
    return System(unet, image_vae, point_vae, contexts).to(device, dtype)
