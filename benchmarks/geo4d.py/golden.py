"""Agreement with stored vectors of the reference implementation."""

import sys
from pathlib import Path

from geo4d.models.geo4d.parity import UNCHECKED, check_file, is_known


def check_golden(folder: Path) -> int:
    """Print a line a tensor group; the exit status, 1 where one is above what it may be."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        print(f"{folder} holds no .safetensors files", file=sys.stderr)
        return 2
    failed, count, left_out = 0, 0, []
    print(f"{'tensor group':58} {'largest error':>13} {'allowed':>9}")
    for path in files:
        if not is_known(path.stem):
            left_out.append(path.stem)
        for check in check_file(path):
            count += 1
            failed += not check.holds
            mark = "" if check.holds else "  ABOVE"
            print(f"{check.group:58} {check.error:13.2e} {check.tolerance:9.0e}{mark}", flush=True)
    print(f"{count - failed} of {count} groups hold")
    for name, reason in UNCHECKED.items():
        if any(path.stem == name.partition(":")[0] for path in files):
            print(f"not checked: {name}: {reason}")
    if left_out:
        print(f"not part of the network and not checked here: {', '.join(left_out)}")
    return 1 if failed or not count else 0
