"""The networks of Geo4D with their weights on a device: coding frames, denoising a window, decoding it."""

import contextlib
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
from .streaming import WeightStream
from .unet import UNet, split_context
from .vae import VAE


@dataclass
class Contexts:
    """The constant contexts, one row each."""

    text: Tensor  # (1, 77, C) of the prompt
    empty: Tensor  # (1, 77, C) of the empty prompt, for guidance
    image: Tensor  # (1, 256, C)


class System:
    """All networks, in evaluation mode, computing on one device and in one floating-point type."""

    def __init__(self, unet: UNet, image_vae: VAE, point_vae: VAE, contexts: Contexts, sizes: Sizes | None = None):
        self.unet, self.image_vae, self.point_vae, self.contexts = unet, image_vae, point_vae, contexts
        self.sizes = sizes or Sizes(unet=unet.config, vae=image_vae.config)
        self.device, self.dtype = contexts.text.device, unet.out[2].weight.dtype
        self._stream: WeightStream | None = None
        self._kv: dict[tuple[int, int], list[ContextKV]] = {}
        for module in (unet, image_vae, point_vae):
            module.eval().requires_grad_(False)

    def to(self, device, dtype: torch.dtype) -> "System":
        """Move to a device and type, with channels last in memory, which convolutions there prefer.

        Where weights are streamed the network's stay where they are, and are changed as they come.
        """
        self.device, self.dtype = torch.device(device), dtype
        if self._stream:
            self._stream.device, self._stream.dtype = self.device, dtype
        moved = [self.image_vae, self.point_vae] + ([] if self._stream else [self.unet])
        for module in moved:
            module.to(device=device, dtype=dtype)
            for layer in module.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        self.contexts = Contexts(*(t.to(device, dtype) for t in vars(self.contexts).values()))
        self._kv.clear()
        return self

    def stream(self) -> None:
        """From now on the network's weights stay in host memory or in their file, and come block by block."""
        if self._stream is None:
            if self.device.type != "cpu":
                self.unet.to("cpu")
                torch.cuda.empty_cache()
            self._stream = WeightStream(self.unet.blocks(), self.device, self.dtype)

    def context(self, prompted: int = 1, empty: int = 0) -> list[ContextKV]:
        """Keys and values of every cross-attention for so many windows with the prompt and without; made once."""
        if (prompted, empty) not in self._kv:
            rows = [self.contexts.text] * prompted + [self.contexts.empty] * empty
            text, image = split_context(torch.cat([torch.cat([row, self.contexts.image], 1) for row in rows]), FRAMES)
            made = []
            for layer in self.unet.spatial():
                with self._stream.brought(layer) if self._stream else contextlib.nullcontext():
                    made.append(layer.project(text, image))
            self._kv[prompted, empty] = made
        return self._kv[prompted, empty]

    def velocity(
        self, latent: Tensor, condition: Tensor, time: int, fs: int, guided: bool = False, apart: bool = False
    ) -> Tensor:
        """Velocity (B, 16, T, h, w), float32; with ``guided`` (2B, ...), prompt first, then empty prompt.

        ``apart`` runs the two one after the other.
        """
        x = torch.cat([latent, condition], dim=1).to(self.device, self.dtype)
        count = len(x)
        times, rates = (torch.full((count,), value, device=self.device) for value in (time, fs))
        if not guided:
            return self.unet(x, times, self.context(count), rates).float()
        if apart:
            both = [self.unet(x, times, self.context(*rows), rates).float() for rows in ((count, 0), (0, count))]
            return torch.cat(both)
        x, times, rates = (torch.cat([v, v]) for v in (x, times, rates))
        return self.unet(x, times, self.context(count, count), rates).float()


def load(
    path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, streamed: bool = False
) -> System:
    """The system from a converted file. Raises ModelMissing or BadRequest.

    ``streamed`` leaves the network's weights in the file, which is mapped to memory and read block by block.
    """
    sizes = read_sizes(path)
    with torch.device("meta"):
        unet, image_vae = UNet(sizes.unet), VAE(sizes.vae, IMAGE_PARTS)
        point_vae = VAE(sizes.vae, POINT_PARTS)
    modules = {"unet.": unet, "image_vae.": image_vae, "point_vae.": point_vae}
    states: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in (*modules, "context.")}
    with safe_open(path, "pt", device="cpu" if streamed else str(device)) as file:
        for key in file.keys():
            prefix = next((p for p in states if key.startswith(p)), None)
            if prefix is not None:
                value = file.get_tensor(key)
                mapped = streamed and prefix == "unet."
                states[prefix][key.removeprefix(prefix)] = value if mapped else value.to(dtype)
    try:
        for prefix, module in modules.items():
            module.load_state_dict(states[prefix], assign=True)
        contexts = Contexts(*(states["context."][name] for name in ("text", "empty", "image")))
    except (RuntimeError, KeyError) as error:
        raise GeoError(
            "weights_incomplete", f"{path} lacks some of its tensors.", "Convert the checkpoints again."
        ) from error
    system = System(unet, image_vae, point_vae, contexts, sizes)
    system.device, system.dtype = torch.device(device), dtype
    if streamed:
        system.stream()
    return system.to(device, dtype)


def read_sizes(path: str | Path) -> Sizes:
    """Sizes of the networks of a converted file, without opening its weights."""
    metadata = weight_file.read_metadata(path)
    check_format(metadata, path)
    return Sizes.from_json(metadata["sizes"])
