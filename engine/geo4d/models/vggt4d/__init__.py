"""The VGGT family: feed-forward transformers that see all frames of a window at once and give cameras, depth, points.

Sources: "VGGT: Visual Geometry Grounded Transformer", arXiv 2503.11651, and the 4D-VGGT release "geometry v1", which
adds a second trunk of windowed attention over time. Everything here needs torch, so nothing is imported on the way in.
"""
