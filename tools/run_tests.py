"""Run every check of the project: lint, engine tests, add-on tests in each Blender found; one summary line at the end.

Each row runs in its own environment and process. The last line counts all rows together, as
``N passed, N failed, N skipped``; the exit status is 0 only when nothing failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parent.parent
ROW_LIMIT_S = 25 * 60  # a row that hangs is ended and counts as failed
MOST_WORKERS = 4  # processes that share the engine's tests, of up to 1.5 GB each
BLENDERS = {"Blender 4.5": ".venv-bpy45", "Blender 5.0": ".venv-bpy50", "Blender 5.2": ".venv-bpy52"}


@dataclass
class Count:
    """How many tests of a row ended how. ``note`` says what went wrong beside the tests themselves."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    note: str = ""

    def __add__(self, other: "Count") -> "Count":
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def interpreter(environment: str) -> Path:
    return ROOT / environment / "bin" / "python"


def run_command(command: list[str], environment: Mapping[str, str] = MappingProxyType({})) -> int | None:
    """Exit status, or None where the command ran past the limit. ``environment`` is added to our own."""
    whole = {**os.environ, **environment}
    try:
        return subprocess.run(command, cwd=ROOT, timeout=ROW_LIMIT_S, check=False, env=whole).returncode
    except subprocess.TimeoutExpired:
        return None


def run_lint(*arguments: str) -> Count:
    status = run_command([str(interpreter(".venv")), "-m", "ruff", *arguments])
    return Count(passed=1) if status == 0 else Count(failed=1, note=f"ruff {arguments[0]} found something")


def run_pytest(environment: str, folder: str, extra: list[str], workers: int = 1) -> Count:
    """Run pytest on ``folder``. A row that collects nothing, crashes or hangs has failed, whatever it counted.

    With several ``workers`` each takes whole files, and its share of the processor's cores as threads.
    """
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.xml"
        command = [str(interpreter(environment)), "-m", "pytest", folder, f"--junitxml={report}"]
        command += ["-p", "no:cacheprovider", "--durations=5", *extra]
        share = {}
        if workers > 1:
            command += [f"--numprocesses={workers}", "--dist=loadfile"]
            share["OMP_NUM_THREADS"] = str((os.cpu_count() or 1) // workers)
        status = run_command(command, share)
        count = read_report(report)
    if status is None:
        count.note = f"ended after {ROW_LIMIT_S // 60} minutes"
    elif status not in (0, 1) or (status == 1 and not count.failed):
        count.note = f"pytest ended with status {status}"
    if count.note:
        count.failed = max(count.failed, 1)
    return count


def read_report(report: Path) -> Count:
    if not report.is_file():  # the interpreter died before pytest could write it
        return Count(note="no report was written")
    count = Count()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        count += Count(int(suite.get("tests", 0)) - bad - skipped, bad, skipped)
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="row to run (repeat): lint, engine, or a Blender version: 4.5")
    parser.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    arguments = parser.parse_args()

    rows = {
        "lint": lambda: run_lint("check", "."),
        "format": lambda: run_lint("format", "--check", "."),
        "engine": lambda: run_pytest(".venv", "tests/engine", arguments.pytest, min(MOST_WORKERS, os.cpu_count() or 1)),
    }
    for name, environment in BLENDERS.items():
        rows[name] = lambda e=environment: run_pytest(e, "tests/blender", arguments.pytest)
    if arguments.only:
        rows = {name: run for name, run in rows.items() if any(wanted in name for wanted in arguments.only)}

    counts: dict[str, Count] = {}
    lines = []
    for name, run in rows.items():
        environment = BLENDERS.get(name, ".venv")
        if not interpreter(environment).exists():
            lines.append(f"{name}: skipped, there is no {environment} (its Python is not on this machine)")
            continue
        print(f"\n== {name}", flush=True)
        begun = time.monotonic()
        counts[name] = run()
        note = f" ({counts[name].note})" if counts[name].note else ""
        lines.append(f"{name}: {counts[name]} in {time.monotonic() - begun:.0f} s{note}")
    total = sum(counts.values(), Count())
    print("\n== summary", *lines, total, sep="\n", flush=True)
    return 0 if counts and total.passed and not total.failed else 1


if __name__ == "__main__":
    sys.exit(main())
