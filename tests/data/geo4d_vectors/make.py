"""Make the vectors of this folder again: ``python make.py``.

Weights come from a seed, inputs from another; what is stored are the inputs and the results of the plain paths
(written-out attention, plain convolutions). They do not say that the network is Geo4D's - the reference's own
vectors do, where they are at hand - but that it has not changed since it was compared with them.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from geo4d.geometry.ray_map import cameras_from_rays
from geo4d.models.geo4d import modalities, schedule
from geo4d.models.geo4d.config import UNetConfig, VAEConfig, from_mapping
from geo4d.models.geo4d.parity import made_weights
from geo4d.models.geo4d.residual import TemporalConv
from geo4d.models.geo4d.unet import UNet
from geo4d.models.geo4d.vae import VAE, latent_mean
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
UNET = {"model_channels": 32, "num_head_channels": 16, "context_dim": 16}
VAE_SIZE = {"ch": 32, "ch_mult": [1, 1, 1, 1], "num_res_blocks": 1}


def plain_temporal_conv(self, x: torch.Tensor, frames: int) -> torch.Tensor:
    """The temporal block with three-dimensional convolutions, as its definition reads."""
    clip = x.unflatten(0, (-1, frames)).transpose(1, 2)
    h = clip
    for stage in (self.conv1, self.conv2, self.conv3, self.conv4):
        h = stage[-1](F.silu(stage[0](h)))
    return (clip + h).transpose(1, 2).flatten(0, 1)


def save(name: str, tensors: dict, meta: dict | None = None) -> None:
    tensors = {key: torch.as_tensor(value).contiguous() for key, value in tensors.items()}
    save_file(tensors, HERE / f"{name}.safetensors", {"meta": json.dumps(meta or {})})


@torch.inference_mode()
def main() -> None:
    draw = torch.Generator().manual_seed(11)

    def normal(*shape):
        return torch.randn(*shape, generator=draw)

    net = UNet(from_mapping(UNetConfig, UNET)).eval()
    net.load_state_dict(made_weights(net, 21))
    net.use_attention("plain")
    x, context, time, fs = normal(1, 20, 4, 8, 8), normal(1, 77 + 64, 16), torch.tensor([599]), torch.tensor([12])
    fast, TemporalConv.forward = TemporalConv.forward, plain_temporal_conv
    y = net(x, time, context, fs)
    short = normal(1, 93, 16)
    io = {"x": x, "timesteps": time, "context": context, "fs": fs, "y": y}
    io |= {"context_short": short, "y_context_short": net(x, time, short, fs)}
    save("unet_tiny_io", io, {"cfg": UNET, "seed": 21})
    TemporalConv.forward = fast

    vae = VAE(from_mapping(VAEConfig, VAE_SIZE)).eval()
    vae.load_state_dict(made_weights(vae, 22))
    picture, z = normal(1, 3, 32, 48).clamp(-1, 1), normal(1, 4, 4, 6)
    moments = vae.moments(picture)
    io = {"x": picture, "z": z, "moments": moments, "z_mode_scaled": latent_mean(moments), "decode": vae.decode(z)}
    io["decode_with_conf"] = torch.cat(vae.decode_with_confidence(z), dim=1)
    save("vae_tiny_io", io, {"ddconfig": VAE_SIZE, "seed": 22})

    save("schedule", {key: values for key, values in schedule.checkpoint_buffers().items()})

    rays, moment = normal(3, 12, 16, 3).numpy() * 0.05 + [0.0, 0.0, 1.0], normal(3, 12, 16, 3).numpy()
    poses = cameras_from_rays(rays, moment)
    io = {"raydir": rays.astype(np.float32), "raymoment": moment}
    poses = cameras_from_rays(io["raydir"], moment)
    save("rays", io | {"pose_noisy": poses.astype(np.float32)})

    coordinates, uncertainty = normal(2, 8, 12, 3).numpy(), normal(2, 8, 12, 1).numpy()
    coordinates[0, :2] = modalities.SKY_VALUE
    points, weight = modalities.decode_points(coordinates, uncertainty)
    invalid = modalities.invalid_points(coordinates)
    io = {"pm": coordinates, "conf_raw": uncertainty, "denorm": points, "weight_eval": weight, "invalid_eval": invalid}
    save("pointmap_decode", io)


if __name__ == "__main__":
    main()
