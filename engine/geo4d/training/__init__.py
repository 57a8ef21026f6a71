"""Procedural scenes and the training of the weights that ship with the engine. Needs torch."""
