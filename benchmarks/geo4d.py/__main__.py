"""Geo4D: agreement with stored vectors of the reference; the full size for real; speed beside a plain implementation.

    python benchmarks/geo4d.py --golden FOLDER
    python benchmarks/geo4d.py --full-size [--scratch FOLDER] [--size 512x320]
    python benchmarks/geo4d.py --speed [--size 256x192]

The first checks every file of the folder that a check exists for, prints a line a tensor group with its largest
absolute error and how large it may be, and exits with 1 if one is above. The second writes the two official files
with random numbers in them (11 GB), converts them, opens the result and runs each stage once. The third runs one whole
window with the same weights both ways.

This is a folder with the name of a command, because a file geo4d.py would hide the package from the scripts beside it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch


def main() -> int:
    parser = argparse.ArgumentParser(prog="geo4d.py", description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--golden", type=Path, metavar="FOLDER", help="folder of reference vectors")
    what.add_argument("--full-size", action="store_true", help="convert and run the released network, random weights")
    what.add_argument("--speed", action="store_true", help="one window, beside a plain implementation")
    parser.add_argument("--stages", action="store_true", help="of --speed: each stage once, multiplied")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of arithmetic")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", default="512x320", metavar="WxH", help="multiples of 64 (default 512x320)")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="for 14 GB of files")
    parser.add_argument("--keep", action="store_true", help="leave the converted file for the next run")
    arguments = parser.parse_args()
    if arguments.threads or arguments.golden:  # the reference vectors' networks are too small to be shared out
        torch.set_num_threads(arguments.threads or 1)
    width, height = (int(side) for side in arguments.size.split("x"))
    dtype = getattr(torch, arguments.dtype)
    if arguments.golden:
        from golden import check_golden

        return check_golden(arguments.golden)
    if arguments.full_size:
        from full_size import run_full_size

        return run_full_size(arguments.scratch, arguments.device, dtype, width, height, arguments.keep)
    from speed import run_speed

    return run_speed(width, height, arguments.stages)


if __name__ == "__main__":
    sys.exit(main())
