import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def archive() -> Path:
    """This machine's zip, built and validated by the Blender under test."""
    command = [sys.executable, str(ROOT / "tools/extension.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (word.rstrip(",") for word in done.stdout.split() if word.rstrip(",").endswith(".zip"))
    return ROOT / built
