"""Learned systems, one folder each, one contract: a window of frames in, a Prediction out."""
