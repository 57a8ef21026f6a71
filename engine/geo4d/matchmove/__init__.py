"""Cameras from 2D tracks: structure from motion, tripod and static shots, bundle adjustment."""
