"""Alignment of windows: accuracy, seconds and memory of both modes.

python benchmarks/alignment.py [--clips NAME ...] [--reference] [--seeds N] [--plots FOLDER]
                                                 on windows simulated from clips' truth and a rendered hall, fast mode;
                                                 reference mode too on 24 frames, with each of N errors, and where
                                                 fast mode is worse; pictures of the paths, and of seconds and memory
python benchmarks/alignment.py --golden FOLDER   on recorded runs of the reference, FOLDER/align_*.safetensors;
                                                 exits with 1 where a mode is worse than recorded by more than drift
"""

import argparse
import sys
from pathlib import Path

import alignment_golden
import alignment_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, metavar="FOLDER")
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="these alone; hall and hall-back are the rendered")
    parser.add_argument("--reference", action="store_true", help="a minute or more for every clip")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="for the runs beside reference mode")
    parser.add_argument("--plots", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.golden:
        sys.exit(1 if alignment_golden.run(arguments.golden) else 0)
    alignment_tables.run(arguments.clips, arguments.seeds if arguments.reference else 0, arguments.plots)


if __name__ == "__main__":
    main()
