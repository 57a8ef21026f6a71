"""Training of the small diffusion model on stored procedural clips."""
