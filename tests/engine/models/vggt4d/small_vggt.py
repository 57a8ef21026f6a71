"""Networks of the VGGT family with every kind of part but few channels, and checkpoints with official layouts."""

import json
from dataclasses import replace

import torch
from geo4d.models.vggt4d.network import Network
from geo4d.models.vggt4d.sizes import CAMERA, DENSE, FUSION, SPATIAL, TEMPORAL, DenseHead, Encoder, Sizes
from safetensors.torch import save_file

SIZES = Sizes(
    width=32,
    depth=4,
    heads=2,
    hidden=128,
    registers=4,
    encoder=Encoder(width=32, depth=2, heads=2, hidden=128, registers=4, grid=4),
    camera_depth=2,
    camera_heads=4,
    camera_hidden=32,
    depth_head=DenseHead(16, (8, 8, 12, 12), 32, 2),
    point_head=DenseHead(16, (8, 8, 12, 12), 32, 4),
    window=3,
    taps=(0, 1, 2, 3),
    image=56,
)
PLAIN = replace(SIZES, window=0)
CONFIG = {
    "encoder_heads": 2,
    "spatial_head_options": {"num_heads": 4},
    "cached_layer_indices": [0, 1, 2, 3],
    "img_size": 56,
}


def small_network(sizes: Sizes = SIZES, seed: int = 0) -> Network:
    """Every gate, scale and bias away from zero, so that nothing is idle."""
    torch.set_num_threads(1)
    network, draw = Network(sizes), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            values = torch.randn(parameter.shape, generator=draw)
            if name.endswith(("norm.weight", "norm1.weight", "norm2.weight")):
                values = 1 + 0.1 * values
            elif name.endswith(("gamma", "alpha")):
                values = 0.8 + 0.2 * values
            elif parameter.ndim > 1 and "token" not in name and "time_bias" not in name:
                values *= (2 / parameter[0].numel()) ** 0.5 * (0.75 if name.startswith(DENSE) else 1.0)
            else:
                values *= 0.3
            parameter.copy_(values)
    return network.requires_grad_(False).eval()


def pictures(count: int = 6, height: int = 42, width: int = 56, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def vggt_state(network: Network) -> dict[str, torch.Tensor]:
    """Tensors under VGGT's names, with a track head's beside them."""
    named = {}
    for name, tensor in network.state_dict().items():
        if not name.startswith((TEMPORAL, FUSION)):
            for new, old in ((SPATIAL, "aggregator"), (CAMERA, "camera_head"), (f"{DENSE}.", "")):
                if name.startswith(new):
                    name = old + name.removeprefix(new)
                    break
            named[name] = tensor.clone()
    return named | {"track_head.tracker.corr_mlp.fc1.weight": torch.zeros(3, 3)}


def save_plain(path, network: Network | None = None):
    """VGGT's safetensors, with the configuration that its full size does not need."""
    save_file(vggt_state(network or small_network(PLAIN)), path, metadata={"config": json.dumps(CONFIG)})
    return path


def payload(network: Network) -> dict:
    """What is in a 4D release."""
    config = {**CONFIG, "window_size": network.sizes.window, "patch_embed": "dinov2", "rope_freq": 100}
    return {
        "model_name": "4D-VGGT",
        "architecture": "4d-vggt-geometry-v1",
        "architecture_schema_version": 2,
        "model_config": config,
        "model": {name: tensor.clone() for name, tensor in network.state_dict().items()},
    }


def save_release(path, network: Network | None = None, **changes):
    torch.save(payload(network or small_network()) | changes, path)
    return path
