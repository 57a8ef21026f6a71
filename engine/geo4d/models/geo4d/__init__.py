"""Geo4D: a video-diffusion network that predicts point maps, disparity and ray maps of 16 frames at once.

Source: "Geo4D: Leveraging Video Generators for Geometric 4D Scene Reconstruction", arXiv 2504.07961.
Everything here but :mod:`.config` and :mod:`.ray_camera` needs torch, so nothing is imported on the way in.
"""
