"""Blender materials over the pictures of :mod:`textures`."""

import bpy
import numpy as np

MATTE = 0.7
"""Surfaces this rough or rougher are purely diffuse, which renders a third faster."""


def image(name: str, picture: np.ndarray) -> bpy.types.Image:
    """A Blender image of sRGB (H, W, 3), bottom row first."""
    height, width = picture.shape[:2]
    picked = bpy.data.images.new(name, width, height)
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = picture
    picked.pixels.foreach_set(rgba.ravel())
    picked.pack()
    return picked


def textured(name, picture, tile_m=1.0, roughness=0.7, bump=0.0, specular=0.3) -> bpy.types.Material:
    """Material whose picture covers ``tile_m`` (one number or width, height) metres; ``bump`` in metres."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree = material.node_tree
    shader = tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Specular IOR Level"].default_value = specular
    sample = tree.nodes.new("ShaderNodeTexImage")
    sample.image = image(name, picture)
    if roughness >= MATTE:
        shader = tree.nodes.new("ShaderNodeBsdfDiffuse")
        tree.links.new(shader.outputs[0], tree.nodes["Material Output"].inputs["Surface"])
    tree.links.new(sample.outputs["Color"], shader.inputs[0])
    if bump:
        relief = tree.nodes.new("ShaderNodeBump")
        relief.inputs["Distance"].default_value = bump
        relief.inputs["Strength"].default_value = 0.8
        tree.links.new(sample.outputs["Color"], relief.inputs["Height"])
        tree.links.new(relief.outputs["Normal"], shader.inputs["Normal"])
    width, height = (tile_m, tile_m) if np.isscalar(tile_m) else tile_m
    material["tile_m"] = (float(width), float(height))
    return material


def plain(name, colour, roughness=0.5, metallic=0.0, specular=0.4, glow=0.0) -> bpy.types.Material:
    """Material of one linear colour; ``glow`` is its emission strength."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Metallic"].default_value = metallic
    shader.inputs["Specular IOR Level"].default_value = specular
    if glow:
        shader.inputs["Emission Color"].default_value = (*colour, 1.0)
        shader.inputs["Emission Strength"].default_value = glow
    material["tile_m"] = (1.0, 1.0)
    return material
