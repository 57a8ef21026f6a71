"""mini: a small video-diffusion network for geometry, trained by this project on procedural scenes.

The contract of Geo4D at a hundredth of its size: a window of frames conditions the joint denoising of the latents of
point maps, disparity and ray maps. Depends on torch.
"""
