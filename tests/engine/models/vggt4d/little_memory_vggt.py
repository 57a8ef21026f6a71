"""A window in a process with a limited address space: ``python little_memory_vggt.py FILE MEBIBYTES...``.

Prints a JSON object each: the error, or what was cut and how far the result is from an unlimited one.
"""

import json
import resource
import sys

import numpy as np
import torch
from geo4d.errors import GeoError
from geo4d.models.device import address_space
from geo4d.models.vggt4d.engine import open_model
from geo4d.models.vggt4d.memory import Plan
from geo4d.models.windowed import ModelOptions, ModelRequest
from geo4d.progress import Silent
from small_vggt import save_release

FRAMES, SIDE = 12, 16 * 14


class Log(Silent):
    text = ""

    def log(self, text):
        self.text += text + "\n"


def run_limited(model, mebibytes: int, expected: np.ndarray) -> dict:
    log = model.progress = Log()
    model.plan, report = Plan(model.plan.demand, FRAMES), {}
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + (mebibytes << 20), resource.RLIM_INFINITY))
    try:
        found = model.predict(model.windows[0])
        report["difference"] = float(np.abs(found.depth / expected - 1).max())
    except GeoError as error:
        report |= {"code": error.code, "message": error.message}
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return report | {"frames": model.plan.frames_at_once, "log": log.text}


if __name__ == "__main__":
    torch.set_num_threads(1)
    path = save_release(sys.argv[1])
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    request = ModelRequest(
        SIDE, SIDE, FRAMES, 24.0, lambda positions, _: frames[list(positions)], ModelOptions(weights=str(path))
    )
    model = open_model(request, Silent())
    model.size, model.windows = (SIDE, SIDE), [np.arange(FRAMES)]
    expected = model.predict(model.windows[0]).depth
    for mebibytes in sys.argv[2:]:
        print(json.dumps(run_limited(model, int(mebibytes), expected)))
