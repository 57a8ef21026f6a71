"""Every network and formula against the reference's own numbers, and against a small set of ours."""

from pathlib import Path

import pytest

FILES = [
    "unet_tiny_io",
    "vae_tiny_io",
    "ddim_s5_eta0",
    "ddim_s3_eta1_cfg7.5",
    "ddim_oracle",
    "schedule",
    "rays",
    "focal_pnp",
    "pointmap_decode",
    "train_norm",
    "clip_tiny",
    "clip_preprocess",
    "resampler_tiny",
]
VECTORS = Path(__file__).resolve().parents[2] / "data" / "geo4d_vectors"


def assert_all_hold(path):
    from geo4d.models.geo4d.parity import check_file

    checks = list(check_file(path))
    assert checks
    assert [check for check in checks if not check.holds] == []


@pytest.mark.parametrize("name", FILES)
def test_agrees_with_the_reference(torch, golden, name):
    path = golden / f"{name}.safetensors"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    assert_all_hold(path)


@pytest.mark.parametrize("name", ["unet_tiny_io", "vae_tiny_io", "schedule", "rays", "pointmap_decode"])
def test_agrees_with_our_own_vectors(torch, name):
    assert_all_hold(VECTORS / f"{name}.safetensors")


def test_a_changed_weight_is_noticed(torch, tmp_path):
    """The comparison must be able to fail: one vector a little off."""
    from geo4d.models.geo4d.parity import VectorFile, check_file
    from safetensors.torch import save_file

    file = VectorFile(VECTORS / "rays.safetensors")
    tensors = dict(file.tensors)
    tensors["pose_noisy"] = tensors["pose_noisy"] + 1e-3
    path = tmp_path / "rays.safetensors"
    save_file(tensors, path)
    failed = [check.group for check in check_file(path) if not check.holds]
    assert failed == ["rays:pose_noisy"]
