"""Comparison with stored tensors of a reference implementation: which groups agree, and how closely.

A folder holds safetensors files with ``images`` and ``out.*`` (and ``tap.*``) each, weights, and a manifest.json that
says which network each file was made with. Any subset of the files will do.
"""

import contextlib
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from . import block, checkpoint, dense_head, images, pose
from .encoder import Dino
from .network import Network, Output
from .sizes import CAMERA, DENSE, FUSION, SPATIAL, TEMPORAL, Unwritten

TOLERANCE = 2e-4  # of float32 through the whole network, absolute and of the value
_EXACT = 1e-5
_WEIGHTS, _PAYLOAD = "weights_4d.safetensors", "tiny_payload_conv.pt"
_ALIVE = 0.01  # of depth, at least, by leaving the temporal trunk out


@dataclass(frozen=True)
class Check:
    """One group of tensors: largest difference in units of 1 + the value's size, and how large it may be."""

    group: str
    error: float
    tolerance: float
    least: bool = False  # the error must be at least that, for things that must differ

    @property
    def holds(self) -> bool:
        return self.error >= self.tolerance if self.least else self.error <= self.tolerance  # False for NaN


def check_folder(folder: str | Path) -> Iterator[Check]:
    """All groups of all files in ``folder`` that have something to compare."""
    folder = Path(folder)
    manifest = folder / "manifest.json"
    about = json.loads(manifest.read_text()) if manifest.is_file() else {}
    for path in sorted(folder.glob("*.safetensors")):
        stored = load_file(path)
        name = path.stem.split("_")[0]
        if "images" in stored and any(key.startswith("out.") for key in stored):
            network = _network(folder, about, about.get("cases", {}).get(path.stem, {}))
            if network is not None:
                yield from _check_case(name, stored, network)
        elif "rope.in" in stored:
            yield from _check_components(name, stored, _network(folder, about, {}))
        elif any(key.startswith("src.") for key in stored):
            yield from _check_images(name, stored, about.get("preprocess", {}))


def _network(folder: Path, about: dict, case: dict) -> Network | None:
    """The network that a case was made with, through the loader of official checkpoints."""
    if _PAYLOAD in case.get("info", ""):
        return checkpoint.load(folder / _PAYLOAD) if (folder / _PAYLOAD).is_file() else None
    if not (folder / _WEIGHTS).is_file():
        return None
    config = about["config"]
    sizes = Unwritten(
        encoder_heads=config["vit"]["num_heads"],
        camera_heads=config["camera_head"]["num_heads"],
        taps=tuple(config["CFG"]["cached_layer_indices"]),
    )
    if case.get("model", "4d") == "4d":
        return checkpoint.load(folder / _WEIGHTS, sizes)
    tensors = load_file(folder / _WEIGHTS)
    named = {_released(name): t for name, t in tensors.items() if not name.startswith((TEMPORAL, FUSION))}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.safetensors"
        save_file(named, path)
        network = checkpoint.load(path, sizes)
        return network.to(torch.float64).to(torch.float32)  # off the file, which goes


def _released(name: str) -> str:
    """The name of a tensor in VGGT's files."""
    for new, old in ((SPATIAL, "aggregator"), (CAMERA, "camera_head"), (f"{DENSE}.", "")):
        if name.startswith(new):
            return old + name.removeprefix(new)
    return name


def _check_case(name: str, stored: dict[str, Tensor], network: Network) -> Iterator[Check]:
    pictures = stored["images"][0]
    with torch.inference_mode(), _watched(network) as inside:
        out = network(pictures, frames_at_once=len(pictures))
    for key, value in _outputs(out, *pictures.shape[-2:]).items():
        if f"out.{key}" in stored:
            yield _compare(f"{name} {key}", value, stored[f"out.{key}"])
    for key in sorted(key for key in stored if key.startswith("tap.")):
        if (value := inside.get(key.removeprefix("tap."))) is not None:
            yield _compare(f"{name} {key}", value, stored[key])
    with torch.inference_mode():
        cut = network(pictures, frames_at_once=2)
        worst = max(_compare("", a, b).error for a, b in _pairs(cut, out))
        yield Check(f"{name} two frames at once", worst, TOLERANCE)
        if network.sizes.window:
            without = network(pictures, temporal=False)
            yield Check(f"{name} temporal trunk alive", _compare("", without.depth, out.depth).error, _ALIVE, True)


def _pairs(a: Output, b: Output) -> list[tuple[Tensor, Tensor]]:
    pairs = [(getattr(a, key), getattr(b, key)) for key in ("codes", "depth", "depth_confidence", "points")]
    return [pair for pair in pairs if pair[0] is not None]


def _outputs(out: Output, height: int, width: int) -> dict[str, Tensor]:
    extrinsics, intrinsics = pose.decode(out.codes[-1], height, width, bounded=False)
    named = {
        "pose_enc": out.codes[-1],
        "pose_enc_list": out.codes,
        "extrinsics": extrinsics,
        "intrinsics": intrinsics,
        "depth": out.depth,
        "depth_conf": out.depth_confidence,
        "world_points": out.points,
        "world_points_conf": out.points_confidence,
    }
    return {key: value for key, value in named.items() if value is not None}


@contextlib.contextmanager
def _watched(network: Network) -> Iterator[dict[str, Tensor]]:
    """What passes inside ``network`` in the block, under the names that reference files use."""
    seen, hooks, taps = {}, [], network.sizes.taps
    space, camera, dense = (getattr(network, name) for name in (SPATIAL, CAMERA, DENSE))

    def keep(name: str, value: Tensor) -> None:
        if name not in seen:
            seen[name] = value.clone()

    def after(module, name):
        hooks.append(module.register_forward_hook(lambda _, __, result: keep(name, result)))

    def before(module, name):
        hooks.append(module.register_forward_pre_hook(lambda _, given: keep(name, given[0])))

    def fused(module, given, result):
        k, spatial, temporal = given
        layers = {"spatial": spatial, "temporal": temporal, "fused": result}
        seen.update({f"{kind}.tap{taps[k]}": layer.clone() for kind, layer in layers.items()})
        if taps[k] == 0:
            half = network.sizes.width
            seen["trunk.global0_out"], seen["time.temporal0_out"] = (x[..., half:].clone() for x in given[1:])

    def camera_round(module, given, result):
        number = sum(key.startswith("camera.trunk_iter") for key in seen)
        seen[f"camera.trunk_iter#{number}"] = result.clone()

    if isinstance(space.patch_embed, Dino):
        after(space.patch_embed.patch_embed, "dino.patch_conv")
        before(space.patch_embed.blocks[0], "dino.tokens_in")
        after(space.patch_embed.blocks[0], "dino.block0_out")
        after(space.patch_embed, "dino.x_norm_patchtokens")
    before(space.frame_blocks[0], "trunk.tokens_in")
    after(space.frame_blocks[0].attn, "trunk.frame0_attn")
    after(space.frame_blocks[0], "trunk.frame0_out")
    if network.sizes.window:
        time = getattr(network, TEMPORAL)
        after(time.frame_blocks[0], "time.frame0_out")
        after(time.temporal_blocks[0].attn.proj, "time.temporal0_attn")
        hooks.append(getattr(network, FUSION).register_forward_hook(fused))
    after(camera.token_norm, "camera.token_norm")
    hooks.append(camera.trunk[-1].register_forward_hook(camera_round))
    for name in ("depth", "point"):
        head = getattr(dense, f"{name}_head", None)
        if head is not None:
            for k in range(4):
                after(head.resize_layers[k], f"{name}.level{k + 1}")
                after(getattr(head.scratch, f"refinenet{k + 1}"), f"{name}.refinenet{k + 1}")
            after(head.scratch.output_conv1, f"{name}.output_conv1")
            after(head.scratch.output_conv2, f"{name}.raw")
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _check_components(name: str, stored: dict[str, Tensor], network: Network | None) -> Iterator[Check]:
    turn = block.rotation(stored["rope.pos"][0], stored["rope.in"].shape[-1])
    yield _compare(f"{name} rope", turn(stored["rope.in"]), stored["rope.out"], _EXACT)
    for key, value in stored.items():
        if match := re.fullmatch(r"uvembed\.w(\d+)h(\d+)c(\d+)_img(\d+)x(\d+)", key):
            w, h, channels, height, width = map(int, match.groups())
            code = dense_head.position_code(channels, h, w, width / height, torch.device("cpu"))
            yield _compare(f"{name} {key}", code.permute(1, 2, 0), value, _EXACT)
        elif network is not None and (match := re.fullmatch(r"posembed\.(\d+)x(\d+)", key)):
            grid = [int(side) // network.sizes.patch for side in match.groups()]
            yield _compare(f"{name} {key}", getattr(network, SPATIAL).patch_embed.positions(*grid), value, _EXACT)
    if "pose.enc" in stored:
        intrinsics = stored["pose.intrinsics"]
        height, width = 2 * intrinsics[0, 0, 1, 2].item(), 2 * intrinsics[0, 0, 0, 2].item()
        for key, value in zip(
            ("extrinsics", "intrinsics"), pose.decode(stored["pose.enc"], height, width), strict=True
        ):
            yield _compare(f"{name} pose.{key}", value, stored[f"pose.{key}"])
        back = pose.encode(stored["pose.extrinsics"], intrinsics, height, width)
        yield _compare(f"{name} pose.roundtrip", back, stored["pose.roundtrip"])
    if "act.raw" in stored:
        raw = stored["act.raw"]
        xyz, confidence = dense_head.points(raw)
        yield _compare(f"{name} act.inv_log", xyz, stored["act.inv_log"], _EXACT)
        yield _compare(f"{name} act.conf", confidence, stored["act.conf"], _EXACT)
        depth, _ = dense_head.depth(torch.stack((raw[:, 0], raw[:, 3]), dim=1))
        yield _compare(f"{name} act.exp", depth, stored["act.exp"][..., 0], _EXACT)


def _check_images(name: str, stored: dict[str, Tensor], hashes: dict) -> Iterator[Check]:
    sources = {key.removeprefix("src.").removesuffix(".png"): t.numpy() for key, t in stored.items() if "src." in key}
    wanted = [key for key in stored if re.fullmatch(r"\w+\.(crop|pad)\.\d+", key)] + list(hashes)
    for key in wanted:
        source, mode, side = key.split(".")
        chosen = [sources["land"], sources["port"]] if source == "mixed" else [sources[source]]
        made, _ = images.load(chosen, mode, int(side))
        if key in stored:
            yield _compare(f"{name} {key}", torch.from_numpy(made), stored[key], 0.0)
        else:
            same = hashlib.sha256(np.ascontiguousarray(made).tobytes()).hexdigest() == hashes[key]["sha256_f32"]
            yield Check(f"{name} {key} sha256", 0.0 if same else 1.0, 0.0)
    if "square.56" in stored:
        made, places = images.load_square([sources["land"], sources["port"]], 56)
        yield _compare(f"{name} square.56", torch.from_numpy(made), stored["square.56"], 0.0)
        yield _compare(f"{name} square.coords", torch.from_numpy(places), stored["square.coords"], _EXACT)


def _compare(group: str, value: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> Check:
    if value.numel() != expected.numel():
        return Check(f"{group} {tuple(value.shape)} for {tuple(expected.shape)}", float("nan"), tolerance)
    expected = expected.reshape(value.shape).double()
    error = ((value.double() - expected).abs() / (1 + expected.abs())).max().item()
    return Check(group, error, tolerance)
