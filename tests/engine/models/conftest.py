"""Where the reference vectors are, and a network small enough for tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of vectors made by the reference implementation; they are not ours to ship."""
    shared = Path(os.environ.get("GEO4D_SHARED", ROOT.parent / "shared"))
    folder = shared / "geo4d" / "golden"
    if not folder.is_dir():
        pytest.skip(f"no reference vectors at {folder} (GEO4D_SHARED names the folder that holds geo4d/golden)")
    return folder


@pytest.fixture(scope="session")
def torch():
    """torch on one thread, or a skip where the optional packages are not installed."""
    torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
    pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')
    torch.set_num_threads(1)
    return torch
