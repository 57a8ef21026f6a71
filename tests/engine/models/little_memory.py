"""Geo4D in a process with a limited address space: ``python little_memory.py denoise:MEBIBYTES decode:MEBIBYTES``.

Prints a JSON object each: what was free, what was cut, the error, how far the result is from an unlimited one.
"""

import json
import resource
import sys

import torch
from geo4d.errors import GeoError
from geo4d.models import device
from geo4d.models.geo4d.inference import Inference, Window, demand
from geo4d.models.geo4d.memory import Plan
from geo4d.models.geo4d.settings import Settings
from geo4d.progress import Silent
from small_geo4d import SIZES, small_system

SIZE = (256, 192)


class Log(Silent):
    def __init__(self):
        super().__init__()
        self.lines = []

    def log(self, text):
        self.lines.append(text)


def run_limited(what: str, mebibytes: int) -> dict:
    settings, log = Settings(steps=1), Log()
    large = Plan(demand(SIZES, SIZE, torch.float32, settings), 2, 8)
    run = Inference(small_system(), None, 20, SIZE, settings=settings, progress=log, plan=large)
    draw = torch.Generator().manual_seed(1)
    cells = SIZE[1] // 8, SIZE[0] // 8
    run._moments = {p: torch.randn(8, *cells, generator=draw) for p in range(20)}
    windows = [Window(n, positions, run._noise(positions)) for n, positions in enumerate(run.windows)]
    latents = torch.randn(4, 4, *cells, generator=draw)

    def compute() -> torch.Tensor:
        if what == "denoise":
            return run._denoise(windows)
        with torch.inference_mode():
            return run._in_batches(lambda x: (run.system.image_vae.decode(x),), latents)[0]

    expected, report = compute(), {"log": log.lines}
    resource.setrlimit(resource.RLIMIT_AS, (device.address_space() + (mebibytes << 20), resource.RLIM_INFINITY))
    try:
        report["free"] = device.free_bytes(torch.device("cpu"))
        report["difference"] = (compute() - expected).abs().max().item()
    except GeoError as error:
        report |= {"code": error.code, "message": error.message}
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return report | {"windows": run.plan.windows_at_once, "frames": run.plan.frames_at_once}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in sys.argv[1:]:
        what, _, mebibytes = case.partition(":")
        print(json.dumps(run_limited(what, int(mebibytes))))
