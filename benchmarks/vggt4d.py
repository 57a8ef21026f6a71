"""The VGGT family against a reference's vectors, and its speed and memory beside a plain float32 forward pass.

python benchmarks/vggt4d.py --golden FOLDER    exits 1 where a group of tensors is farther off than it may be
python benchmarks/vggt4d.py --speed            seconds and peak memory for 16, 64 and 256 frames, ours and plain

Speed is measured on a network of random weights: of the released size at 518 x 518 where there is an accelerator, of
a small width at 112 x 112 on a CPU. "plain" is the same network without what this project does about memory and
speed: all frames at once, float32, a gather of five copies of keys and values and a mask for the attention over time,
convolutions as the library has them.
"""

import argparse
import functools
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict

import torch
import torch.nn.functional as F
from torch import nn

FRAMES = 16, 64, 256


def golden(folder: str) -> bool:
    from geo4d.models.vggt4d.parity import check_folder

    good = count = 0
    for check in check_folder(folder):
        sign = ">=" if check.least else "<="
        print(f"{'ok  ' if check.holds else 'FAIL'} {check.group:44} {check.error:.2e} {sign} {check.tolerance:.0e}")
        good, count = good + check.holds, count + 1
    print(f"{good} of {count} groups agree")
    return 0 < count == good


def sizes(full: bool):
    from geo4d.models.vggt4d.sizes import DenseHead, Encoder, Sizes

    if full:
        head = (256, (256, 512, 1024, 1024), 32)
        encoder = Encoder(1024, 24, 16, 4096, 4, 37)
        return Sizes(
            1024, 24, 16, 4096, 4, encoder, 4, 16, 1024, DenseHead(*head, 2), DenseHead(*head, 4), 5, (4, 11, 17, 23)
        )
    head = (64, (64, 64, 128, 128), 32)
    encoder = Encoder(192, 4, 3, 768, 4, 8)
    return Sizes(192, 6, 3, 768, 4, encoder, 2, 6, 192, DenseHead(*head, 2), DenseHead(*head, 4), 5, (1, 3, 4, 5))


def random_network(full: bool):
    """Weights with the scale of trained ones: layers near unit gain, gates and scales small."""
    from geo4d.models.vggt4d.network import Network

    torch.manual_seed(0)
    network = Network(sizes(full))
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name.endswith("gamma"):
                p.fill_(0.1)
            elif name.endswith("alpha"):
                p.fill_(0.5)
            elif "norm" in name:
                p.fill_(1.0 if name.endswith("weight") else 0.0)
            elif p.ndim > 1 and "token" not in name:
                p.normal_(0, (1 / p[0].numel()) ** 0.5)
            else:
                p.normal_(0, 0.02)
    return network.requires_grad_(False).eval()


def plain_attend(trunk, block, x, turn, at_once):
    """Attention over time as the release does it: clipped neighbours gathered, those beyond the ends masked."""
    attention, radius, count = block.attn, trunk.radius, len(x)
    normed = block.norm1(x)
    q, k, v = attention.queries(normed, turn), attention.keys(normed, turn), attention.values(normed)
    near = torch.arange(count)[:, None] + torch.arange(-radius, radius + 1)
    valid, near = (near >= 0) & (near < count), near.clamp(0, count - 1)
    keys, values = (part[near].transpose(1, 2).flatten(2, 3) for part in (k, v))  # (S, heads, 5 P, d)
    bias = attention.relative_time_bias[None].expand(count, -1, -1)
    bias = bias.masked_fill(~valid[:, None].to(bias.device), float("-inf"))
    bias = bias.repeat_interleave(x.shape[1], dim=2)[:, :, None].expand(-1, -1, x.shape[1], -1)
    attended = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias)
    return block.finish(x, attention.join(attended))


def one(way: str, frames: int, full: bool, threads: int) -> dict:
    """One run in a process of its own, so that its peak is its own."""
    from geo4d.models.vggt4d.residence import place
    from geo4d.models.vggt4d.sizes import TEMPORAL
    from geo4d.models.winograd import Conv3x3

    torch.set_num_threads(threads)
    device = torch.device("cuda" if full else "cpu")
    network, side = random_network(full), 518 if full else 112
    dtype = torch.bfloat16 if full and way != "plain" else torch.float32
    place(network, device, dtype, streamed=way == "streamed")
    at_once = {"plain": frames, "ours": 8, "streamed": 1}[way]
    trunk = getattr(network, TEMPORAL)
    if way == "plain":
        trunk.attend = lambda *arguments: plain_attend(trunk, *arguments)
        for module in network.modules():
            if isinstance(module, Conv3x3):
                module.forward = functools.partial(nn.Conv2d.forward, module)
    images = torch.rand(frames, 3, side, side, generator=torch.Generator().manual_seed(1)).to(device)
    with torch.inference_mode():
        network(images[:1], 1, dtype=dtype)  # what is only done once
        before = peak(full, reset=True)
        wall, cpu = time.perf_counter(), time.process_time()
        out = network(images, at_once, dtype=dtype)
        if full:
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"seconds": wall, "cpu": cpu, "mib": peak(full) - before, "depth": out.depth[:: frames // 4].cpu()}


def peak(full: bool, reset: bool = False) -> float:
    if full:
        if reset:
            torch.cuda.reset_peak_memory_stats()
            return 0.0
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def speed(threads: int, most: int) -> None:
    full = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if full else f"CPU, {threads} thread(s)"
    print(f"{name}; {json.dumps(asdict(sizes(full))['width'])} channels, {518 if full else 112} pixels")
    print(f"{'frames':>6} {'way':9} {'frames/s':>9} {'CPU s':>8} {'peak MiB':>9} {'MiB/frame':>9} {'depth off':>9}")
    for frames in (count for count in FRAMES if count <= most):
        reference = None
        for way in ("plain", "ours", "streamed"):
            arguments = [sys.executable, __file__, "--one", way, str(frames), "--threads", str(threads)]
            done = subprocess.run(arguments, stdout=subprocess.PIPE, check=False)
            if done.returncode:
                print(f"{frames:6} {way:9} failed (out of memory?)")
                continue
            found = json.loads(done.stdout)
            depth = torch.tensor(found.pop("depth"))
            reference = depth if reference is None else reference
            off = (depth / reference - 1).abs().mean().item()
            each = found["mib"] / frames
            print(
                f"{frames:6} {way:9} {frames / found['seconds']:9.2f} {found['cpu']:8.1f} {found['mib']:9.0f} "
                f"{each:9.2f} {off:9.1e}",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", metavar="FOLDER")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--most", type=int, default=FRAMES[-1], help="frames to measure up to")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FRAMES"), help="one measurement, as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.one:
        way, frames = arguments.one
        found = one(way, int(frames), torch.cuda.is_available(), arguments.threads)
        print(json.dumps(found | {"depth": found["depth"].flatten()[::17].tolist()}))
        return 0
    if arguments.speed:
        speed(arguments.threads, arguments.most)
    return 0 if not arguments.golden or golden(arguments.golden) else 1


if __name__ == "__main__":
    sys.exit(main())
