"""Memory: planned before it is taken, cut smaller where it ends, and a number where nothing is left to cut."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from geo4d.errors import OutOfMemory

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')

from geo4d.models import device  # noqa: E402 - needs torch
from geo4d.models.geo4d import memory  # noqa: E402
from geo4d.models.geo4d.layout import Sizes  # noqa: E402
from geo4d.models.geo4d.memory import Demand  # noqa: E402
from small_geo4d import small_system  # noqa: E402

torch.set_num_threads(1)
GIB = 1 << 30
FULL = Demand(Sizes(), 512, 320, 2)


def test_the_plan_is_the_fastest_that_fits():
    """Full size in half precision: an 80 GB card takes all at once, a 12 GB one less, a 4 GB one streams weights."""
    plans = {gib: memory.plan(FULL, gib * GIB, accelerator=True) for gib in (80, 24, 12, 4)}
    assert (plans[80].windows_at_once, plans[80].frames_at_once) == (4, 16)
    for gib, plan in plans.items():
        assert plan.needed_bytes <= gib * GIB
        assert plan.streamed == (gib == 4)
    orders = [(p.windows_at_once, p.frames_at_once) for p in plans.values()]
    assert orders == sorted(orders, reverse=True)


def test_low_memory_stays_under_8_gib():
    assert memory.plan(FULL, 80 * GIB, accelerator=True, streamed=True).needed_bytes < 8 * GIB


def test_weights_count():
    with pytest.raises(OutOfMemory, match=r"512 x 320 needs 1\.\d GiB in the smallest way it can run; 1\.0 GiB are"):
        memory.plan(FULL, GIB)
    assert 2.9 * GIB < FULL.weight_bytes(streamed=False) < 3.0 * GIB
    assert FULL.weight_bytes(streamed=True) < 0.7 * GIB


def test_streamed_weights_compute_the_same():
    system, streamed = small_system(), small_system()
    streamed.unet.half()
    streamed.stream()
    draw = torch.Generator().manual_seed(0)
    latent, condition = (torch.randn(1, c, 16, 8, 8, generator=draw) for c in (16, 4))
    with torch.inference_mode():
        expected = system.velocity(latent, condition, 599, 24, guided=True)
        for apart in (False, True):
            got = streamed.velocity(latent, condition, 599, 24, guided=True, apart=apart)
            assert torch.allclose(got, expected, atol=1e-5)  # the weights were made in half precision
    assert {p.dtype for p in streamed.unet.parameters()} == {torch.float16}


def test_free_memory_is_a_sensible_figure():
    free = device.free_bytes(torch.device("cpu"))
    assert 16 << 20 < free < 1 << 46


@pytest.mark.skipif(sys.platform != "linux", reason="address space can be limited on Linux alone")
def test_a_process_with_little_memory():
    """The allocator itself fails: windows and frames at a time are cut, to the same result, and then it is said."""
    script = Path(__file__).with_name("little_memory.py")
    command = [sys.executable, script, "denoise:150", "decode:100", "denoise:10", "decode:10"]
    returned = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}  # what was freed is not kept
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **returned})
    assert done.returncode == 0, done.stderr
    denoised, decoded, *hopeless = (json.loads(line) for line in done.stdout.splitlines())
    assert denoised["free"] <= 150 << 20 and decoded["free"] <= 100 << 20
    assert denoised["windows"] == 1 and denoised["difference"] < 1e-4
    assert decoded["frames"] < 4 and decoded["difference"] < 1e-4
    assert all("out of memory; going on with" in report["log"][0] for report in (denoised, decoded))
    for report in hopeless:
        assert report["code"] == "out_of_memory"
        assert "MiB in the smallest way it can run" in report["message"]
        assert "block by block" in report["log"][-1]
