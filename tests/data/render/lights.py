"""Sun, sky and lamps."""

import bpy
import numpy as np
from mathutils import Vector


def sun(direction, strength, colour=(1.0, 0.95, 0.86), angle_deg=0.8) -> None:
    """Sunlight that travels along ``direction`` (3,)."""
    data = bpy.data.lights.new("Sun", "SUN")
    data.energy, data.color, data.angle = strength, colour, np.radians(angle_deg)
    lamp = bpy.data.objects.new("Sun", data)
    lamp.rotation_euler = Vector(direction).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(lamp)


def panel(at, toward, size, watts, colour=(1.0, 1.0, 1.0)) -> None:
    """Rectangular soft light of ``size`` (2,) metres at ``at`` that shines toward a point."""
    data = bpy.data.lights.new("Panel", "AREA")
    data.shape, data.size, data.size_y = "RECTANGLE", *size
    data.energy, data.color = watts, colour
    lamp = bpy.data.objects.new("Panel", data)
    lamp.location = at
    lamp.rotation_euler = (Vector(toward) - Vector(at)).to_track_quat("-Z", "Y").to_euler()
    lamp.visible_camera = False
    bpy.context.scene.collection.objects.link(lamp)


def sky(horizon, zenith, strength=1.0) -> None:
    """World light that goes from ``horizon`` to ``zenith`` colour, with soft clouds."""
    world = bpy.data.worlds.new("Sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    tree = world.node_tree
    background = tree.nodes["Background"]
    background.inputs["Strength"].default_value = strength
    direction = tree.nodes.new("ShaderNodeTexCoord").outputs["Generated"]
    height = tree.nodes.new("ShaderNodeSeparateXYZ")
    tree.links.new(direction, height.inputs[0])
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.elements[0].color = (*horizon, 1)
    ramp.color_ramp.elements[1].color = (*zenith, 1)
    ramp.color_ramp.elements[1].position = 0.7
    tree.links.new(height.outputs["Z"], ramp.inputs[0])
    noise = tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 3.0
    noise.inputs["Detail"].default_value = 5.0
    squeeze = tree.nodes.new("ShaderNodeMapping")
    squeeze.inputs["Scale"].default_value = (1, 1, 3)
    tree.links.new(direction, squeeze.inputs[0])
    tree.links.new(squeeze.outputs[0], noise.inputs["Vector"])
    cover = tree.nodes.new("ShaderNodeValToRGB")
    cover.color_ramp.elements[0].position, cover.color_ramp.elements[1].position = 0.48, 0.68
    tree.links.new(noise.outputs["Fac"], cover.inputs[0])
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    tree.links.new(cover.outputs["Color"], mix.inputs["Factor"])
    tree.links.new(ramp.outputs["Color"], mix.inputs[6])
    mix.inputs[7].default_value = (0.95, 0.95, 0.96, 1)
    tree.links.new(mix.outputs[2], background.inputs["Color"])


def even(colour, strength=1.0, seen=3.0) -> None:
    """World light of one colour; the camera sees it at strength ``seen``, as an overexposed window."""
    world = bpy.data.worlds.new("Even")
    bpy.context.scene.world = world
    world.use_nodes = True
    tree = world.node_tree
    background = tree.nodes["Background"]
    background.inputs["Color"].default_value = (*colour, 1)
    direct = tree.nodes.new("ShaderNodeLightPath").outputs["Is Camera Ray"]
    choice = tree.nodes.new("ShaderNodeMapRange")
    tree.links.new(direct, choice.inputs["Value"])
    choice.inputs["To Min"].default_value, choice.inputs["To Max"].default_value = strength, seen
    tree.links.new(choice.outputs[0], background.inputs["Strength"])
