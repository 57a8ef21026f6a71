"""The trained twin as the file that ships: safetensors as :mod:`geo4d.models.vggt4d.checkpoint` reads them."""

import json
from pathlib import Path

import torch

from ...models import weight_file
from ...models.vggt4d.checkpoint import CONFIG
from ...models.vggt4d.convert import FORMAT
from ...models.vggt4d.network import Network
from ...models.vggt4d.sizes import to_config


def write(network: Network, path: Path, about: dict[str, str]) -> dict:
    """Write the weights in half precision, with their sizes and ``about``; returns the manifest.

    Raises OutputError where they cannot be written.
    """
    metadata = {"format": FORMAT, CONFIG: json.dumps(to_config(network.sizes)), "licence": "CC0-1.0", **about}
    return weight_file.write(path, network.cpu().state_dict(), metadata, torch.float16)
