"""Alignment of windows: accuracy, seconds and memory of both modes.

python benchmarks/alignment.py [--clips NAME ...] [--reference] [--plots FOLDER]
                                                 on windows simulated from clips' truth and a rendered hall, fast mode;
                                                 reference mode too on 24 frames; pictures of the paths
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
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="these alone; hall is the rendered one")
    parser.add_argument("--reference", action="store_true", help="a minute or more for every clip")
    parser.add_argument("--plots", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.golden:
        sys.exit(1 if alignment_golden.run(arguments.golden) else 0)
    alignment_tables.run(arguments.clips, arguments.reference, arguments.plots)


if __name__ == "__main__":
    main()
