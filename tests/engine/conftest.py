"""Fixtures of the engine's tests."""

import pytest
from synthetic import make_scene


@pytest.fixture(params=["landscape", "portrait"])
def synthetic_scene(request, tmp_path):
    """Scenes with a zooming lens off its centre and radial distortion, landscape and portrait."""
    size = {"landscape": (120, 90), "portrait": (72, 128)}[request.param]
    return make_scene(tmp_path / "a folder 'with' näme", *size)
