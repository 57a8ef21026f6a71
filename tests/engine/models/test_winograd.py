"""The fast 3x3 convolution against the plain one, in double precision."""

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')

from geo4d.models import winograd  # noqa: E402 - needs torch

torch.set_num_threads(1)


def example(n: int, channels: int, out: int, height: int, width: int):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, channels, height, width, generator=draw)
    weight = torch.randn(out, channels, 3, 3, generator=draw) / (9 * channels) ** 0.5
    return x, weight, torch.randn(out, generator=draw)


@pytest.mark.parametrize("chunk", [1 << 12, 1 << 18, 1 << 26])
@pytest.mark.parametrize("shape", [(1, 64, 72, 33, 47), (3, 66, 64, 12, 20), (2, 64, 64, 4, 4), (5, 3, 2, 1, 1)])
def test_agrees_with_the_plain_convolution(monkeypatch, shape, chunk):
    """Sizes that are no multiples of the tile, several pictures, work cut in single rows or not at all."""
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", chunk)
    x, weight, bias = example(*shape)
    expected = torch.nn.functional.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    for layout in (torch.contiguous_format, torch.channels_last):
        got = winograd.conv3x3(x.contiguous(memory_format=layout), weight, bias)
        assert got.shape == expected.shape
        assert (got - expected).abs().max() < 3e-5
        without = winograd.conv3x3(x.contiguous(memory_format=layout), weight, None)
        assert (without + bias[:, None, None] - expected).abs().max() < 3e-5


def test_the_layer_takes_it_where_it_pays_alone():
    layer = winograd.Conv3x3(64, 64).requires_grad_(False)
    large, small = torch.randn(1, 64, 40, 40), torch.randn(1, 64, 9, 9)
    plain = torch.nn.Conv2d.forward
    with torch.no_grad():
        assert winograd.pays(large, 64) and not winograd.pays(small, 64)
        assert torch.equal(layer(small), plain(layer, small))
        assert not torch.equal(layer(large), plain(layer, large))  # another order of sums
        assert torch.allclose(layer(large), plain(layer, large), atol=3e-5)
    assert torch.equal(layer(large), plain(layer, large))  # gradients may be wanted
    assert list(layer.state_dict()) == ["weight", "bias"]
