"""Where the reference vectors are, and a network small enough for tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def reference_vectors():
    """Finds the folder of vectors made by a model's reference implementation; they are not ours to ship."""

    def find(model: str) -> Path:
        folder = Path(os.environ.get("GEO4D_SHARED", ROOT.parent / "shared")) / model / "golden"
        if not folder.is_dir():
            pytest.skip(f"no reference vectors at {folder} (GEO4D_SHARED names the folder that holds {model}/golden)")
        return folder

    return find


@pytest.fixture(scope="session")
def golden(reference_vectors) -> Path:
    return reference_vectors("geo4d")


@pytest.fixture(scope="session")
def torch():
    """torch on one thread, or a skip where the optional packages are not installed."""
    torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
    pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')
    torch.set_num_threads(1)
    return torch
