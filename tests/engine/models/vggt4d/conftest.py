"""What tests of the VGGT family share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def vggt_golden(reference_vectors) -> Path:
    return reference_vectors("vggt4d")


@pytest.fixture(scope="session")
def network():
    small_vggt = pytest.importorskip("small_vggt", reason='torch is not installed (pip install "geo4d[gpu]")')
    return small_vggt.small_network()
