"""Training of a small network of the VGGT family on procedural scenes."""
