"""Cameras, rays, similarities, projections. The ground floor: imports nothing else of the engine."""
