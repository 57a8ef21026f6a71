"""The released network at its full size: official files of random numbers, converted, opened and run."""

import multiprocessing
import shutil
import time
from pathlib import Path

import torch
from checkpoint import write_official_files
from geo4d.models.geo4d.config import FRAMES, LATENT_STRIDE
from geo4d.models.geo4d.convert import convert
from geo4d.models.geo4d.system import load
from geo4d.models.weight_file import verify
from measuring import AnonymousPeak, measure, print_header, resident_peak


def run_full_size(scratch: Path, device: str, dtype: torch.dtype, width: int, height: int, keep: bool = False) -> int:
    """Every step from the official files to a decoded frame, each in a process of its own; prints a table."""
    folder = scratch / "geo4d-full-size"
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "geo4d.safetensors"
    try:
        if not weights.exists():
            _apart(_make, folder)
            _apart(_convert, folder)
            for name in ("model.ckpt", "vae.ckpt"):
                (folder / name).unlink()
        return _apart(_run, weights, device, dtype, width, height)
    finally:
        if not keep:
            shutil.rmtree(folder)


def _apart(function, *arguments) -> int:
    """Run in a new process, so that its peak of memory is its own."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)
    return 0


def _make(folder: Path) -> None:
    start = time.perf_counter()
    sizes = [path.stat().st_size for path in write_official_files(folder)]
    print(f"official files of random numbers: {sizes[0]:,} and {sizes[1]:,} bytes, {time.perf_counter() - start:.0f} s")


def _convert(folder: Path) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    with AnonymousPeak() as peak:
        manifest = convert(folder / "model.ckpt", folder / "vae.ckpt", folder / "geo4d.safetensors")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"converted to {manifest['bytes']:,} bytes in {wall:.0f} s ({cpu:.0f} CPU s); peak "
        f"{peak.bytes / 2**30:.2f} GiB of its own, {resident_peak() / 2**30:.2f} GiB resident with the mapped files",
        flush=True,
    )
    start = time.perf_counter()
    verify(folder / "geo4d.safetensors")
    print(f"verified in {time.perf_counter() - start:.0f} s", flush=True)


def _run(weights: Path, device: str, dtype: torch.dtype, width: int, height: int) -> None:
    streamed = device == "cpu"
    how = "float16 weights in the mapped file" if streamed else f"{dtype} weights"
    print(
        f"{width} x {height}, {FRAMES} frames; {how}, {dtype} arithmetic, {device}, {torch.get_num_threads()} threads"
    )
    print_header()
    h, w = height // LATENT_STRIDE, width // LATENT_STRIDE
    draw = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        system, _ = measure("open", lambda: load(weights, device, dtype, streamed))
        picture = torch.randn(1, 3, height, width, generator=draw).to(device, dtype)
        latent = torch.randn(1, 4, h, w, generator=draw).to(device, dtype)
        noise, condition = (torch.randn(1, c, FRAMES, h, w, generator=draw).to(device) for c in (16, 4))
        measure("encode, one frame", lambda: system.image_vae.moments(picture), device)
        measure("decode, one frame", lambda: system.image_vae.decode(latent), device)
        measure("decode with confidence", lambda: system.point_vae.decode_with_confidence(latent)[1], device)
        measure("context, once a run", lambda: system.context()[0].text_k, device)
        measure("one denoising step", lambda: system.velocity(noise, condition, 999, 24), device)
