"""Comparison with stored tensors of a reference implementation: which groups agree, and how closely.

A folder holds safetensors files named after what they check (``unet_tiny_io``, ``ddim_*``, ``rays`` ...), weights
under ``w.``, sizes as JSON under ``meta`` in the file's metadata. Any subset of the files will do; where the
network weights are absent they are made from the seed, as the file's maker did.
"""

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from ...geometry.focal import focal_from_points
from ...geometry.pnp import camera_from_points
from ...geometry.ray_map import cameras_from_rays
from ...geometry.similarity import umeyama
from . import clip, modalities, schedule
from .config import ResamplerConfig, TextConfig, UNetConfig, VAEConfig, VisionConfig, from_mapping
from .resampler import Resampler
from .sampler import Guidance, StepResult, guided, sample
from .unet import UNet
from .vae import VAE, latent_mean, latent_sample

_NETWORK = 2e-4  # rounding of float32 through the whole network, several times what back-ends differ by
_EXACT = 1e-5
_SEEDS = {"unet": 0, "vae": 3}
# Tensors that cannot be checked, and why.
UNCHECKED = {
    "clip_tiny:pre_small": "of its source, a picture of 320 x 512, every eighth pixel alone is stored; shrinking for "
    "CLIP is therefore not compared, nor is it ever used: the converter's only picture is plain grey",
}


@dataclass(frozen=True)
class Check:
    """One tensor group: largest absolute difference, and how large it may be."""

    group: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.error <= self.tolerance  # False for NaN


class VectorFile:
    """A safetensors file with its JSON metadata."""

    def __init__(self, path: Path):
        self.name, self.folder = path.stem, path.parent
        with safe_open(path, "pt") as file:
            self.meta = json.loads((file.metadata() or {}).get("meta", "{}"))
            self.tensors = {key: file.get_tensor(key) for key in file.keys()}

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def __contains__(self, key: str) -> bool:
        return key in self.tensors

    def array(self, key: str) -> np.ndarray:
        return self.tensors[key].numpy()

    def weights(self, prefix: str = "w.") -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v.float() for k, v in self.tensors.items() if k.startswith(prefix)}


def check_folder(folder: str | Path) -> Iterator[Check]:
    """Checks of every file of ``folder`` that a check exists for, as they are done."""
    for path in sorted(Path(folder).glob("*.safetensors")):
        yield from check_file(path)


def check_file(path: str | Path) -> Iterator[Check]:
    """Checks of one file; none for a file that holds only weights or that no check exists for."""
    check = _checker(Path(path).stem)
    if check is None:
        return
    file = VectorFile(Path(path))
    with torch.inference_mode():
        for name, got, want, tolerance in check(file):
            yield Check(f"{file.name}:{name}", _difference(got, want), tolerance)


def is_known(name: str) -> bool:
    """Whether a file of this stem is checked, or holds the weights for one that is."""
    return name.endswith("_weights") or _checker(name) is not None


def made_weights(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """Weights from a seed alone, the same on every machine, rounded to half precision.

    Standard normal numbers a parameter name, divided by the root of the fan-in for matrices and kernels; scales of
    norms are near 1, biases near 0.
    """
    weights = {}
    for name, parameter in module.state_dict().items():
        z = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(parameter.shape, np.float32)
        if parameter.ndim >= 2:
            z = z / np.float32(math.sqrt(math.prod(parameter.shape[1:])))
        else:
            z = np.float32(0.1) * z + np.float32(1.0 if name.endswith(".weight") else 0.0)
        weights[name] = torch.from_numpy(np.asarray(z).astype(np.float16)).float()
    return weights


def _difference(got, want) -> float:
    got, want = (np.asarray(x, dtype=np.float64) for x in (got, want))
    if got.shape != want.shape:
        return float("inf")
    with np.errstate(invalid="ignore"):
        distance = np.where(got == want, 0.0, np.abs(got - want))
    return float(distance.max(initial=0.0))


def _unet(file: VectorFile, stem: str) -> UNet:
    path = file.folder / f"{stem}.safetensors"
    if path.exists():
        stored = VectorFile(path)
        net = UNet(from_mapping(UNetConfig, stored.meta["cfg"]))
        net.load_state_dict(stored.weights())
    else:
        net = UNet(from_mapping(UNetConfig, file.meta["cfg"]))
        net.load_state_dict(made_weights(net, file.meta.get("seed", _SEEDS["unet"])))
    return net.eval()


def _check_unet(file: VectorFile):
    net = _unet(file, file.name.replace("_io", "_weights"))
    taps: dict[str, Tensor] = {}
    for key in file.tensors:
        if key.startswith("tap."):
            module = net.get_submodule(key.removeprefix("tap."))
            module.register_forward_hook(lambda _, __, out, key=key: taps.__setitem__(key, out))
    x, time, context, fs = (file[key] for key in ("x", "timesteps", "context", "fs"))
    yield "y", net(x, time, context, fs), file["y"], _NETWORK
    for key, out in dict(taps).items():
        yield key, out, file[key], _NETWORK
    if "y_t199_fs10" in file:
        out = net(x, torch.full_like(time, 199), context, torch.full_like(fs, 10))
        yield "y_t199_fs10", out, file["y_t199_fs10"], _NETWORK
    if "y_context_short" in file:
        yield "y_context_short", net(x, time, file["context_short"], fs), file["y_context_short"], _NETWORK
    if "y_T8" in file:
        frames = file["y_T8"].shape[2]
        out = net(x[:, :, :frames], time, context[:, : 77 + 16 * frames], fs)
        yield "y_T8", out, file["y_T8"], _NETWORK
    if "yb" in file:
        batch = len(file["yb"])
        times, rates = torch.tensor([999, 399][:batch]), torch.tensor([24, 30][:batch])
        yield "yb", net(file["xb"], times, file["context_b"], rates), file["yb"], _NETWORK
    kv = net.project_context(context, x.shape[2])
    yield "y with keys and values made once", net(x, time, kv, fs), file["y"], _NETWORK


def _check_vae(file: VectorFile):
    path = file.folder / f"{file.name.replace('_io', '_weights')}.safetensors"
    if path.exists():
        stored = VectorFile(path)
        vae = VAE(from_mapping(VAEConfig, stored.meta["ddconfig"]))
        vae.load_state_dict(stored.weights())
    else:
        vae = VAE(from_mapping(VAEConfig, file.meta["ddconfig"]))
        vae.load_state_dict(made_weights(vae, file.meta.get("seed", _SEEDS["vae"])))
    vae.eval()
    moments = vae.moments(file["x"])
    results = {
        "moments": lambda: moments,
        "z_mode_scaled": lambda: latent_mean(moments),
        "z_sample_scaled": lambda: latent_sample(moments, file["noise"]),
        "decode": lambda: vae.decode(file["z"]),
        "decode_with_conf": lambda: torch.cat(vae.decode_with_confidence(file["z"]), dim=1),
        "encode_with_adaptor_moments": lambda: vae.moments(vae.encoder_adaptor(file["x"])),
    }
    for key, compute in results.items():
        if key in file:
            yield key, compute(), file[key], _NETWORK


def _check_sampler(file: VectorFile):
    """The whole trajectory with the network; and with oracle velocities where only x0 is stored."""
    if "x0" in file:
        yield from _check_oracle(file)
        return
    meta = file.meta
    net = _unet(file, meta.get("unet", "unet_tiny_weights"))
    noise, cond, batch = file["xT"], file["cond"], len(file["xT"])
    guidance = Guidance(meta["guidance_scale"], meta["guidance_rescale"])
    contexts = [file["context"]]
    if guidance.scale != 1.0:
        contexts.append(file["uncond_context"])
    # Both branches of guidance go through the network as one batch.
    kv = net.project_context(torch.cat(contexts), noise.shape[2])
    fs = torch.full((batch * len(contexts),), meta["fs"])

    def velocity(x: Tensor, time: int) -> Tensor:
        pair = torch.cat([torch.cat([x, cond], dim=1)] * len(contexts))
        v = net(pair, torch.full((len(pair),), time), kv, fs)
        return guided(*v.chunk(2), guidance) if len(contexts) == 2 else v

    walked: list[StepResult] = []
    steps = schedule.trailing_steps(meta["S"])
    step_noise = [file[f"step{i}.noise"] for i in range(meta["S"])] if meta["eta"] else None
    out = sample(velocity, noise, steps, meta["eta"], step_noise, clean_scale=False, watch=walked.append)
    for i, step in enumerate(walked):
        for key, got in (("v", step.velocity), ("pred_x0", step.clean), ("x_prev", step.latent)):
            if f"step{i}.{key}" in file:
                yield f"step{i}.{key}", got, file[f"step{i}.{key}"], _NETWORK
    yield "out", out, file["out"], _NETWORK


def _check_oracle(file: VectorFile):
    bar, scale = schedule.alphas_cumprod(), schedule.latent_scale()
    for key in file.tensors:
        if not key.startswith("out_S"):
            continue

        def velocity(x: Tensor, time: int) -> Tensor:
            clean, alpha = file["x0"] * scale[time], bar[time]
            noise_part = (1.0 - alpha) ** 0.5
            return (alpha**0.5 * x - clean) / noise_part

        steps = schedule.trailing_steps(int(key.removeprefix("out_S")))
        yield key, sample(velocity, file["xT"], steps, clean_scale=False), file[key], _NETWORK


def _check_schedule(file: VectorFile):
    for key, values in schedule.checkpoint_buffers().items():
        if key in file:
            yield key, values, file[key], 1e-6
    for key in file.tensors:
        if not key.endswith(".timesteps"):
            continue
        name = key.removesuffix(".timesteps")
        steps = schedule.trailing_steps(len(file[key]))
        yield key, steps.timesteps, file[key], 0.0
        yield f"{name}.alphas", steps.alphas, file[f"{name}.alphas"], 1e-6
        yield f"{name}.alphas_prev", steps.alphas_prev, file[f"{name}.alphas_prev"], 1e-6
        yield f"{name}.sigmas_eta1", steps.sigmas(1.0), file[f"{name}.sigmas_eta1"], 1e-6


def _check_rays(file: VectorFile):
    pairs = (("raydir", "raymoment", "pose_noisy"), ("portrait_dir", "portrait_moment", "portrait_pose"))
    for direction, moment, pose in pairs:
        if pose in file:
            yield pose, cameras_from_rays(file.array(direction), file.array(moment)), file[pose], _EXACT
    if "pose_clean" in file and "gt_rel_c2w" in file:
        truth = file.array("gt_rel_c2w")
        clean = cameras_from_rays(*_ideal_rays(truth, *file["raydir"].shape[1:3]))
        yield "pose_clean", clean, file["pose_clean"], _EXACT


def _ideal_rays(c2w: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise-free ray maps of some camera at the given poses."""
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    camera = np.stack([x / width, y / width, np.ones_like(x)], axis=-1)
    camera /= np.linalg.norm(camera, axis=-1, keepdims=True)
    direction = np.einsum("tij,hwj->thwi", c2w[:, :3, :3], camera)
    return direction, np.cross(np.broadcast_to(c2w[:, None, None, :3, 3], direction.shape), direction)


def _check_focal_pnp(file: VectorFile):
    fits = [focal_from_points(p, m) for p, m in zip(file.array("points_zshifted"), file.array("mask"), strict=True)]
    yield "focal_px", [fit[0] for fit in fits], file["focal_px"], 1e-2
    yield "shift", [fit[1] for fit in fits], file["shift"], 1e-3
    for key in file.tensors:
        if not (key.startswith("pnp") and key.endswith(".pose")):
            continue
        name = key.removesuffix(".pose")
        guess = name.partition("_guess")[2]
        points = file.array("world" + name.removeprefix("pnp").partition("_")[0])
        found = camera_from_points(points, np.ones(points.shape[:2], bool), float(guess) if guess else None)
        focal, pose = found if found else (np.nan, np.full((4, 4), np.nan))
        yield f"{name}.focal", focal, file[f"{name}.focal"], 1e-3
        yield key, pose, file[key], 1e-3
    if "reg.s" in file:
        src, dst, w = (file.array(f"reg.{k}") for k in ("src", "dst", "w"))
        s, R, t = umeyama(src.reshape(-1, 3), dst.reshape(-1, 3), weights=w.ravel())
        yield "reg.s", s, file["reg.s"], 1e-4
        yield "reg.R", R, file["reg.R"], 1e-4
        yield "reg.T", t, file["reg.T"], 1e-4


def _check_points(file: VectorFile):
    coordinates, uncertainty = file.array("pm"), file.array("conf_raw")
    for name, tolerance in (("eval", modalities.SKY_TOLERANCE), ("demo", 0.35)):
        if f"weight_{name}" in file:
            points, weight = modalities.decode_points(coordinates, uncertainty, tolerance)
            invalid = modalities.invalid_points(coordinates, tolerance)
            yield f"invalid_{name}", invalid, file[f"invalid_{name}"], 0.0
            yield f"weight_{name}", weight, file[f"weight_{name}"], 1e-4
            yield f"denorm ({name})", points, file["denorm"], _EXACT


def _check_train_norm(file: VectorFile):
    valid = file.array("valid")
    kinds = (("pts", modalities.normalise_points), ("disp", modalities.normalise_disparity))
    for kind, normalise in kinds:
        normal, s, offset = normalise(file.array("pts" if kind == "pts" else "depth"), valid)
        yield f"{kind}_norm", normal, file[f"{kind}_norm"], _EXACT
        yield f"{kind}_s", [s], file[f"{kind}_s"], _EXACT
        yield f"{kind}_t", [offset], file[f"{kind}_t"], _EXACT


def _check_clip(file: VectorFile):
    meta = file.meta
    text_config = from_mapping(TextConfig, {**meta["text_cfg"], "embed_dim": meta["embed_dim"]})
    vision_config = from_mapping(VisionConfig, {**meta["vision_cfg"], "embed_dim": meta["embed_dim"]})
    text, image = clip.TextTower(text_config), clip.ImageTower(vision_config, text_config)
    text.load_state_dict(file.weights("w.text."))
    image.load_state_dict(file.weights("w.vis."))
    text.eval(), image.eval()
    yield "text_out", text(file["tokens"]), file["text_out"], _NETWORK
    size = vision_config.image_size
    grey = clip.preprocess(torch.zeros(1, 3, size, size), size)
    yield "vis_out_zero_image", image(grey), file["vis_out_zero_image"], _NETWORK
    yield "prompt_tokens", clip.prompt_tokens(clip.PROMPT), file["prompt_tokens"], 0.0
    yield "empty_tokens", clip.prompt_tokens(clip.EMPTY_PROMPT), file["empty_tokens"], 0.0
    yield "pre_zero_image", grey[:, :, :2, :2], file["pre_zero_image"], _EXACT


def _check_clip_preprocess(file: VectorFile):
    yield "out", clip.preprocess(file["img"], file["out"].shape[-1]), file["out"], 1e-4


def _check_resampler(file: VectorFile):
    net = Resampler(from_mapping(ResamplerConfig, file.meta["cfg"]))
    net.load_state_dict(file.weights())
    for key in ("3", "4"):
        if f"x{key}" in file:
            yield f"y{key}", net(file[f"x{key}"]), file[f"y{key}"], _NETWORK


_CHECKS = {
    "unet_tiny_io": _check_unet,
    "vae_tiny_io": _check_vae,
    "ddim_": _check_sampler,
    "schedule": _check_schedule,
    "rays": _check_rays,
    "focal_pnp": _check_focal_pnp,
    "pointmap_decode": _check_points,
    "train_norm": _check_train_norm,
    "clip_tiny": _check_clip,
    "clip_preprocess": _check_clip_preprocess,
    "resampler_tiny": _check_resampler,
}


def _checker(name: str):
    return next((check for prefix, check in _CHECKS.items() if name.startswith(prefix)), None)
