"""Fixtures of the engine's tests."""

import pytest
from synthetic import make_scene


@pytest.fixture(params=["landscape", "portrait"])
def synthetic_scene(request, tmp_path):
    """Scenes with a zooming lens off its centre and radial distortion, landscape and portrait."""
    size = {"landscape": (120, 90), "portrait": (72, 128)}[request.param]
    return make_scene(tmp_path / "a folder 'with' näme", *size)


@pytest.fixture(scope="module")
def one_thread():
    """torch on one thread for a module's small tensors, where threads would only wait for each other."""
    torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
