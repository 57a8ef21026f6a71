"""Measure a scene against ground truth: camera path, focal length and depth."""

import json
from pathlib import Path


def add_arguments(parser) -> None:
    parser.add_argument("scene", metavar="SCENE", type=Path, help="scene folder")
    parser.add_argument("--ground-truth", metavar="CLIP", type=Path, required=True, help="clip folder with the truth")
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")


def run(arguments) -> None:
    from ..evaluation import evaluate_scene, format_report

    report = evaluate_scene(arguments.scene, arguments.ground_truth)
    print(json.dumps(report) if arguments.json else format_report(report))
