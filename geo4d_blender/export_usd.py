"""Export an imported scene as one USD file: animated camera and points, static cloud."""

import os
from pathlib import Path

import bpy

# What is wanted of the exporter; an option that a Blender version lacks is left out.
OPTIONS = {
    "selected_objects_only": True,
    "export_animation": True,
    "evaluation_mode": "RENDER",
    "export_points": True,
    "export_cameras": True,
    "export_lights": False,
    "export_materials": False,
    "export_custom_properties": False,
    "root_prim_path": "/Geo4D",
    "convert_orientation": False,
}


def family(root: bpy.types.Object) -> list[bpy.types.Object]:
    """The parent empty and everything under it that is worth exporting."""
    return [root, *(o for o in root.children_recursive if not o.hide_render)]


def export_usd(path: str | Path, root: bpy.types.Object, blender_scene: bpy.types.Scene) -> None:
    """Write ``root`` and its children over the scene's frame range to ``path`` (.usd, .usda, .usdc, .usdz).

    Raises OSError if the folder cannot be written, RuntimeError if Blender's exporter fails.
    """
    # Blender's own complaint about a folder is that "no suitable USD plugin" was found.
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} is not writable")
    known = {p.identifier for p in bpy.ops.wm.usd_export.get_rna_type().properties}
    options = {name: value for name, value in OPTIONS.items() if name in known}
    view_layer = next(v for v in blender_scene.view_layers if root.name in v.objects)
    selected, active = [o for o in view_layer.objects if o.select_get(view_layer=view_layer)], view_layer.objects.active
    members = family(root)
    for item in view_layer.objects:
        item.select_set(item in members, view_layer=view_layer)
    try:
        with bpy.context.temp_override(scene=blender_scene, view_layer=view_layer):
            bpy.ops.wm.usd_export(filepath=str(path), **options)
    finally:
        for item in view_layer.objects:
            item.select_set(item in selected, view_layer=view_layer)
        view_layer.objects.active = active
