"""Geo4D engine: a solved camera, per-frame depth and moving points from one ordinary video.

Runs by itself on a command line or as a subprocess of the Blender add-on; it never imports bpy.
"""

__version__ = "0.1.0"
