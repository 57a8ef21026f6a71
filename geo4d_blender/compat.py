"""Every difference between Blender 4.5, 5.0 and 5.2 that the add-on meets, in one place."""

from importlib import import_module

import bpy
import numpy as np

# The extension's root package: "bl_ext.<repository>.geo4d".
PACKAGE = __package__.rpartition(".")[0]

# The engine's two bpy-free modules that the add-on shares: the scene folder's reader and the exit statuses. ``engine``
# holds no ``__init__.py`` (it is the source root of a package of its own), so it is imported as a namespace package.
scene_reader = import_module(f"{PACKAGE}.engine.geo4d.scene.reader")
engine_errors = import_module(f"{PACKAGE}.engine.geo4d.errors")


def channelbag(owner: bpy.types.ID, name: str) -> bpy.types.ActionChannelbag:
    """A fresh action on ``owner`` with one slot; returns where its f-curves go."""
    action = bpy.data.actions.new(name)
    slot = action.slots.new(owner.id_type, owner.name)
    bag = action.layers.new("Layer").strips.new(type="KEYFRAME").channelbag(slot, ensure=True)
    animation = owner.animation_data_create()
    animation.action = action
    animation.action_slot = slot
    return bag


def modifier_input(modifier: bpy.types.NodesModifier, name: str) -> str:
    """Identifier of the node group's input socket called ``name``."""
    for item in modifier.node_group.interface.items_tree:
        if item.item_type == "SOCKET" and item.in_out == "INPUT" and item.name == name:
            return item.identifier
    raise KeyError(f"{modifier.node_group.name} has no input {name!r}")


def _has_input_properties(modifier: bpy.types.NodesModifier) -> bool:
    """From 5.2 on, inputs are typed properties; before, custom properties of the modifier."""
    return hasattr(modifier, "properties") and hasattr(modifier.properties, "inputs")


def set_modifier_input(modifier: bpy.types.NodesModifier, name: str, value) -> None:
    identifier = modifier_input(modifier, name)
    if _has_input_properties(modifier):
        getattr(modifier.properties.inputs, identifier).value = value
    else:
        modifier[identifier] = value
    modifier.id_data.update_tag()


def get_modifier_input(modifier: bpy.types.NodesModifier, name: str):
    identifier = modifier_input(modifier, name)
    if _has_input_properties(modifier):
        return getattr(modifier.properties.inputs, identifier).value
    return modifier[identifier]


def modifier_input_path(modifier: bpy.types.NodesModifier, name: str) -> str:
    """Data path of an input from the object, for f-curves."""
    identifier = modifier_input(modifier, name)
    if _has_input_properties(modifier):
        return f'modifiers["{modifier.name}"].properties.inputs.{identifier}.value'
    return f'modifiers["{modifier.name}"]["{identifier}"]'


def draw_modifier_input(layout: bpy.types.UILayout, modifier: bpy.types.NodesModifier, name: str, **options) -> None:
    identifier = modifier_input(modifier, name)
    if _has_input_properties(modifier):
        layout.prop(getattr(modifier.properties.inputs, identifier), "value", text=name, **options)
    else:
        layout.prop(modifier, f'["{identifier}"]', text=name, **options)


def new_pointcloud(name: str, positions: np.ndarray, context_scene: bpy.types.Scene) -> bpy.types.PointCloud:
    """A point cloud of positions (P, 3) float32. Up to 5.1 only converting a mesh makes one of a given size."""
    flat = np.ascontiguousarray(positions, dtype=np.float32).ravel()
    if hasattr(bpy.types.PointCloud, "resize"):
        cloud = bpy.data.pointclouds.new(name)
        cloud.resize(len(positions))
        if len(positions):
            attribute = cloud.attributes.get("position") or cloud.attributes.new("position", "FLOAT_VECTOR", "POINT")
            attribute.data.foreach_set("vector", flat)
        return cloud
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(positions))
    mesh.vertices.foreach_set("co", flat)
    carrier = bpy.data.objects.new(name, mesh)
    context_scene.collection.objects.link(carrier)
    view_layer = context_scene.view_layers[0]
    selection = {"selected_objects": [carrier], "selected_editable_objects": [carrier]}
    with bpy.context.temp_override(
        scene=context_scene, view_layer=view_layer, active_object=carrier, object=carrier, **selection
    ):
        bpy.ops.object.convert(target="POINTCLOUD")
    cloud = carrier.data
    bpy.data.objects.remove(carrier)
    if mesh.users == 0:
        bpy.data.meshes.remove(mesh)
    cloud.name = name
    for attribute in [a.name for a in cloud.attributes if a.name.startswith(".select")]:
        cloud.attributes.remove(cloud.attributes[attribute])
    return cloud


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """The scene whose strips the sequencer shows: from 5.0 on it may differ from the active scene."""
    return getattr(context, "sequencer_scene", None) or context.scene


def active_strip(context: bpy.types.Context):
    """The active strip of the sequencer, or None."""
    editor = sequencer_scene(context).sequence_editor
    return editor.active_strip if editor else None


def strip_content_start(strip) -> float:
    """Scene frame at which the strip's first source frame plays, trimmed or not."""
    return strip.content_start if hasattr(strip, "content_start") else strip.frame_start


def strip_hidden_frames(strip) -> int:
    """Source frames cut off before the content begins (trimmed hard, not by the handle)."""
    return int(strip.content_trim_start if hasattr(strip, "content_trim_start") else strip.animation_offset_start)


def strip_content_duration(strip) -> int:
    """Source frames from the content's start on."""
    return int(strip.content_duration if hasattr(strip, "content_duration") else strip.frame_duration)


def strip_handles(strip) -> tuple[int, int]:
    """First frame shown and the frame after the last one."""
    if hasattr(strip, "left_handle"):
        return int(strip.left_handle), int(strip.right_handle)
    return int(strip.frame_final_start), int(strip.frame_final_end)


def can_export_usd() -> bool:
    """Some distributions build Blender without USD."""
    return bool(bpy.app.build_options.usd)
