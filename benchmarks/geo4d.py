"""Geo4D against stored vectors of the reference implementation.

    python benchmarks/geo4d.py --golden FOLDER

Checks every file of the folder that a check exists for, prints a line a tensor group with its largest absolute
error and how large it may be, and exits with 1 if one is above.
"""

import argparse
import sys
from pathlib import Path

# This file bears the engine's name and lies first on the path of every script beside it: the engine goes first.
_HERE = Path(__file__).resolve().parent
sys.path.sort(key=lambda entry: Path(entry).resolve() == _HERE)
if __name__ != "__main__":
    import importlib

    del sys.modules[__name__]
    importlib.import_module(__name__)
else:
    import torch
    from geo4d.models.geo4d.parity import check_file, is_known


def check_golden(folder: Path) -> int:
    """Print the table; the exit status."""
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
    if left_out:
        print(f"not part of the network and not checked here: {', '.join(left_out)}")
    return 1 if failed or not count else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, required=True, metavar="FOLDER", help="folder of reference vectors")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    return check_golden(arguments.golden)


if __name__ == "__main__":
    sys.exit(main())
