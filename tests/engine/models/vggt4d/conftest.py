"""Where the reference vectors of the VGGT family are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="session")
def vggt_golden() -> Path:
    """Folder of vectors made by the reference implementation; they are not ours to ship."""
    shared = Path(os.environ.get("GEO4D_SHARED", ROOT.parent / "shared"))
    folder = shared / "vggt4d" / "golden"
    if not folder.is_dir():
        pytest.skip(f"no reference vectors at {folder} (GEO4D_SHARED names the folder that holds vggt4d/golden)")
    return folder


@pytest.fixture(scope="session")
def network():
    small_vggt = pytest.importorskip("small_vggt", reason='torch is not installed (pip install "geo4d[gpu]")')
    return small_vggt.small_network()
