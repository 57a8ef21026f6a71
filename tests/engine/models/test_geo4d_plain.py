"""The networks against the plain implementation that their speed is measured against."""

import importlib.util
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')

from small_geo4d import SIZES, small_system  # noqa: E402 - needs torch

torch.set_num_threads(1)
SOURCE = Path(__file__).resolve().parents[3] / "benchmarks" / "geo4d.py" / "plain.py"


@pytest.fixture(scope="module")
def plain():
    spec = importlib.util.spec_from_file_location("plain_geo4d", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@torch.inference_mode()
def test_both_ways_compute_the_same(plain):
    system, draw = small_system(), torch.Generator().manual_seed(0)
    unet, image, point = (dict(m.state_dict()) for m in (system.unet, system.image_vae, system.point_vae))
    latent, condition = (torch.randn(1, c, 16, 8, 16, generator=draw) for c in (16, 4))
    context = torch.cat([system.contexts.text, system.contexts.image], dim=1)
    config = SIZES.unet
    x = torch.cat([latent, condition], dim=1)
    velocity = plain.velocity(x, unet, 599, 24, context, config.model_channels, config.num_head_channels)
    assert torch.allclose(velocity, system.velocity(latent, condition, 599, 24), atol=5e-5)
    picture, one = torch.randn(1, 3, 64, 64, generator=draw), torch.randn(1, 4, 8, 8, generator=draw)
    assert torch.allclose(plain.encode(picture, image), system.image_vae.moments(picture), atol=5e-5)
    assert torch.allclose(plain.decode(one, image), system.image_vae.decode(one), atol=5e-5)
    both = torch.cat(system.point_vae.decode_with_confidence(one), dim=1)
    assert torch.allclose(plain.decode(one, point, confidence=True), both, atol=5e-5)
