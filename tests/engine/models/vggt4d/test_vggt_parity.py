"""The reference's vectors, and that the comparison sees what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')

from geo4d.models.vggt4d import pose  # noqa: E402 - needs torch
from geo4d.models.vggt4d.parity import check_folder  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from small_vggt import SIZES, pictures, small_network  # noqa: E402

BENCHMARK = Path(__file__).resolve().parents[4] / "benchmarks" / "vggt4d.py"


def test_reference_vectors(vggt_golden):
    torch.set_num_threads(1)
    checks = list(check_folder(vggt_golden))
    assert [check for check in checks if not check.holds] == []
    cases = {check.group.split()[0] for check in checks}
    assert cases == {"a", "b", "c", "e", "g", "h", "i"} and len(checks) >= 130


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder laid out like the reference's, of a network of our own."""
    folder, network, images = tmp_path_factory.mktemp("own"), small_network(), pictures(3)
    config = {
        "vit": {"num_heads": SIZES.encoder.heads},
        "camera_head": {"num_heads": SIZES.camera_heads},
        "CFG": {"cached_layer_indices": list(SIZES.taps)},
    }
    (folder / "manifest.json").write_text(json.dumps({"config": config}))
    save_file(network.state_dict(), folder / "weights_4d.safetensors")
    with torch.inference_mode():
        out = network(images)
    extrinsics, _ = pose.decode(out.codes[-1], *images.shape[-2:])
    case = {"images": images[None], "out.depth": out.depth[None, ..., None], "out.world_points": out.points[None]}
    case |= {"out.extrinsics": extrinsics[None], "out.pose_enc": out.codes[-1:]}
    save_file({name: t.clone() for name, t in case.items()}, folder / "z_own.safetensors")
    return folder


def test_benchmark_tells_by_its_status(own):
    def status() -> int:
        return subprocess.run([sys.executable, BENCHMARK, "--golden", own], capture_output=True, check=False).returncode

    assert status() == 0
    case = load_file(own / "z_own.safetensors")
    case["out.depth"][0, 1, 3, 3] += 1e-2
    save_file(case, own / "z_own.safetensors")
    assert status() == 1
    failed = [check.group for check in check_folder(own) if not check.holds]
    assert failed == ["z depth"]


def test_an_empty_folder_is_no_success(tmp_path):
    done = subprocess.run([sys.executable, BENCHMARK, "--golden", tmp_path], capture_output=True, check=False)
    assert done.returncode == 1
