"""The trained depth network as the file that ships: ONNX that OpenCV runs; and back again, to train on."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ...errors import BadRequest, OutputError
from ...multiview import network_input, plane_sweep
from ..onnx_file import Graph, read_about, read_tensors
from .network import OUTPUTS, VERSION, DepthNetwork, NetworkConfig


def write_onnx(network: DepthNetwork, path: Path, about: dict[str, str] | None = None, half: bool = True) -> None:
    """Write the network's weights, in half precision unless ``half`` is False, with its sizes and ``about``."""
    g = Graph(half)

    def conv(x: str, layer: nn.Conv2d) -> str:
        weight, bias = (p.detach().cpu().numpy() for p in (layer.weight, layer.bias))
        return g.conv(x, weight, bias, layer.stride[0])

    _trace(network, g, conv)
    sizes = {name: ",".join(map(str, getattr(network.config, name))) for name in ("widths", "blocks")}
    about = {"architecture": str(VERSION), **sizes, "licence": "CC0-1.0", **(about or {})}
    try:
        g.write(path, "depth", about)
    except OSError as error:
        raise OutputError(
            "cannot_write", f"{path} cannot be written: {error}.", "Free some space and try again."
        ) from error


def read_onnx(path: Path) -> DepthNetwork:
    """The network of a file of :func:`write_onnx`."""
    try:
        about = read_about(path)
        version = about["architecture"]
        config = NetworkConfig(*(tuple(map(int, about[name].split(","))) for name in ("widths", "blocks")))
        tensors = read_tensors(path)
    except (OSError, ValueError, KeyError) as error:
        raise BadRequest(
            "bad_checkpoint", f"{path} does not hold weights of the depth network: {error}.", "Give another file."
        ) from error
    if version != str(VERSION):
        raise BadRequest(
            "checkpoint_version",
            f"{path} holds architecture {version} of the depth network; this program has architecture {VERSION}.",
            "Use the program's version that made the file.",
        )
    network = DepthNetwork(config)
    layers: list[nn.Conv2d] = []
    _trace(network, Graph(), lambda x, layer: layers.append(layer) or x)
    for k, layer in enumerate(layers):
        for parameter, value in zip((layer.weight, layer.bias), tensors[2 * k : 2 * k + 2], strict=True):
            parameter.data = torch.from_numpy(value).reshape(parameter.shape)
    return network


def _trace(n: DepthNetwork, g: Graph, conv: Callable[[str, nn.Conv2d], str]) -> None:
    """The forward pass of :class:`.network.DepthNetwork`, node by node."""
    maps = g.input("maps", network_input.CHANNELS)
    sweep = g.input("sweep", plane_sweep.CHANNELS)

    def residual(x: str, block) -> str:
        return g.relu(g.add(x, conv(g.relu(conv(x, block.first)), block.second)))

    def level(x: str, blocks) -> str:
        for block in blocks:
            x = residual(x, block)
        return x

    skips = [level(g.relu(conv(maps, n.stem)), n.encoder[0])]
    for k, down in enumerate(n.down, start=1):
        x = conv(skips[-1], down)
        if k == 1:
            x = g.add(x, conv(sweep, n.cost))
        skips.append(level(g.relu(x), n.encoder[k]))
    x = skips.pop()
    for k in reversed(range(len(skips))):
        x = g.double(conv(x, n.up[k]))
        x = residual(g.relu(g.add(x, skips[k])), n.decoder[k])
    g.output("out", conv(x, n.head), OUTPUTS)
