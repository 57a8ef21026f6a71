"""Geo4D: agreement with stored vectors of the reference implementation; seconds, memory and FLOPs at full size.

    python benchmarks/geo4d.py --golden FOLDER
    python benchmarks/geo4d.py --full-size [--dtype bfloat16] [--device cpu] [--size 512x320]

The first checks every file of the folder that a check exists for, prints a line a tensor group with its largest
absolute error and how large it may be, and exits with 1 if one is above. The second builds the released network with
random weights and runs each stage once: one denoising step of a window of 16 frames, one frame coded, one decoded.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

# This file bears the engine's name and lies first on the path of every script beside it: the engine goes first.
_HERE = Path(__file__).resolve().parent
sys.path.sort(key=lambda entry: Path(entry).resolve() == _HERE)
if __name__ != "__main__":
    import importlib

    del sys.modules[__name__]
    importlib.import_module(__name__)
else:
    import torch
    from geo4d.models.geo4d.config import FRAMES, LATENT_STRIDE
    from geo4d.models.geo4d.convert import IMAGE_PARTS, POINT_PARTS
    from geo4d.models.geo4d.parity import check_file, is_known
    from geo4d.models.geo4d.system import Contexts, System
    from geo4d.models.geo4d.unet import UNet
    from geo4d.models.geo4d.vae import VAE
    from torch.utils.flop_counter import FlopCounterMode


def check_golden(folder: Path) -> int:
    """Print the table; the exit status."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        print(f"{folder} holds no .safetensors files", file=sys.stderr)
        return 2
    failed, count, left_out = 0, 0, []
    print(f"{'tensor group':58} {'largest error':>13} {'allowed':>9}")
    for path in files:
        if not is_known(path.stem):
            left_out.append(path.stem)
        for check in check_file(path):
            count += 1
            failed += not check.holds
            mark = "" if check.holds else "  ABOVE"
            print(f"{check.group:58} {check.error:13.2e} {check.tolerance:9.0e}{mark}", flush=True)
    print(f"{count - failed} of {count} groups hold")
    if left_out:
        print(f"not part of the network and not checked here: {', '.join(left_out)}")
    return 1 if failed or not count else 0


def random_system(device: str, dtype) -> "System":
    """The released sizes with random weights, allocated once and in their final type."""
    with torch.device("meta"):
        parts = [UNet(), VAE(parts=IMAGE_PARTS), VAE(parts=POINT_PARTS)]
    draw = torch.Generator(device).manual_seed(0)
    for part in parts:
        part.to(dtype).to_empty(device=device)
        for name, parameter in part.named_parameters():
            fan_in = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 1
            if parameter.ndim > 1:
                parameter.data.normal_(0.0, fan_in**-0.5, generator=draw)
            else:
                parameter.data.fill_(1.0 if name.endswith("weight") else 0.0)
    contexts = Contexts(*(torch.randn(1, n, 1024, device=device, generator=draw) for n in (77, 77, 256)))
    return System(*parts, contexts).to(device, dtype)


def measure(name: str, device: str, compute) -> None:
    """Run ``compute`` once and print seconds, FLOPs and the peak of memory so far."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    wall, cpu = time.perf_counter(), time.process_time()
    with FlopCounterMode(display=False) as counter:
        out = compute()
        finite = bool(torch.isfinite(out).all())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else _peak_resident()
    flops = counter.get_total_flops() / 1e12
    row = f"{name:30} {wall:9.2f} {cpu:9.2f} {flops:9.2f} {peak / 2**30:9.2f}  {tuple(out.shape)}"
    print(row + ("" if finite else "  NOT FINITE"), flush=True)


def _peak_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_full_size(device: str, dtype, width: int, height: int) -> int:
    """One step and one frame each way through the released network; prints a table."""
    print(f"{width} x {height}, {FRAMES} frames, {dtype}, {device}, {torch.get_num_threads()} threads")
    print(f"{'stage':30} {'wall s':>9} {'CPU s':>9} {'TFLOP':>9} {'peak GiB':>9}")
    h, w = height // LATENT_STRIDE, width // LATENT_STRIDE
    with torch.inference_mode():
        system = random_system(device, dtype)
        total = sum(p.numel() for p in system.unet.parameters())
        print(f"network {total:,} parameters; {_peak_resident() / 2**30:.2f} GiB resident after building", flush=True)
        picture = torch.randn(1, 3, height, width, device=device, dtype=dtype)
        latent = torch.randn(1, 4, h, w, device=device, dtype=dtype)
        noise, condition = (torch.randn(1, c, FRAMES, h, w, device=device) for c in (16, 4))
        measure("encode, one frame", device, lambda: system.image_vae.moments(picture))
        measure("decode, one frame", device, lambda: system.image_vae.decode(latent))
        measure("decode with confidence", device, lambda: system.point_vae.decode_with_confidence(latent)[1])
        measure("context, once a run", device, lambda: system.context()[0].text_k)
        measure("one denoising step", device, lambda: system.velocity(noise, condition, 999, 24))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--golden", type=Path, metavar="FOLDER", help="folder of reference vectors")
    what.add_argument("--full-size", action="store_true", help="run the released network with random weights")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", default="512x320", metavar="WxH", help="multiples of 64 (default 512x320)")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.golden:
        return check_golden(arguments.golden)
    width, height = (int(side) for side in arguments.size.split("x"))
    return run_full_size(arguments.device, getattr(torch, arguments.dtype), width, height)


if __name__ == "__main__":
    sys.exit(main())
