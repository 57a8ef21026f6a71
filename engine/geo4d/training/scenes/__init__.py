"""Procedural 4D scenes with exact truth, made in batched torch from a seed and nothing else."""

from .clip import Clips, make_clips

__all__ = ["Clips", "make_clips"]
