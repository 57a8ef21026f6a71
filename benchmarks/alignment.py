"""Alignment of windows: accuracy, seconds and memory of both modes.

python benchmarks/alignment.py --golden FOLDER   on recorded runs of the reference, FOLDER/align_*.safetensors;
                                                 exits with 1 where a mode is worse than recorded by more than drift
"""

import argparse
import sys
from pathlib import Path

import alignment_golden


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.golden:
        sys.exit(1 if alignment_golden.run(arguments.golden) else 0)


if __name__ == "__main__":
    main()
