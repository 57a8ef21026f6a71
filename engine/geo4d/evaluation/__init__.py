"""How good a scene is: camera path, focal length and depth against ground truth."""

from .evaluate import evaluate_scene
from .report import format_report

__all__ = ["evaluate_scene", "format_report"]
