"""The static cloud: every point that the solve holds to be part of the rigid world, as one point cloud object."""

import bpy
import numpy as np

from . import compat
from .node_builder import new_group, points_material

GROUP = "Geo4D Static Cloud"
CONTROLS = [
    ("Minimum Confidence", "NodeSocketFloat", 0.0, 0.0, 1.0, "Points that the engine trusts less are left out"),
    ("Point Radius", "NodeSocketFloat", 0.01, 0.0, None, "Radius of the points in the cloud's own units"),
]
WIRING = [("Material", "NodeSocketMaterial", None, None, None, "Material of the points")]

# A point is drawn this much of the cloud's typical extent wide.
RADIUS_SHARE = 0.001


def node_group() -> bpy.types.NodeTree:
    """The shared node group, made on first use in a file."""
    existing = bpy.data.node_groups.get(GROUP)
    if existing:
        return existing
    tree, build, given = new_group(GROUP, CONTROLS + WIRING)
    doubtful = build.compare("LESS_THAN", build.attribute("confidence"), given["Minimum Confidence"])
    inputs = {"Geometry": given["Geometry"], "Selection": doubtful}
    points = build.first("GeometryNodeDeleteGeometry", inputs, domain="POINT")
    points = build.first("GeometryNodeSetPointRadius", {"Points": points, "Radius": given["Point Radius"]})
    points = build.first("GeometryNodeSetMaterial", {"Geometry": points, "Material": given["Material"]})
    build.node("NodeGroupOutput", {0: points})
    return tree


def linear_from_srgb(rgb: np.ndarray) -> np.ndarray:
    """Eight-bit sRGB (P, 3) to linear float32 (P, 3), IEC 61966-2-1."""
    value = np.arange(256) / 255.0
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return table.astype(np.float32)[rgb]


def new_static_cloud(
    name: str, xyz: np.ndarray, rgb: np.ndarray, confidence: np.ndarray, blender_scene, material: str, color: str
) -> bpy.types.Object:
    """Point cloud object of points xyz (P, 3), rgb (P, 3) uint8, confidence (P,)."""
    data = compat.new_pointcloud(name, xyz, blender_scene)
    rgba = np.ones((len(xyz), 4), dtype=np.float32)
    rgba[:, :3] = linear_from_srgb(rgb)
    data.attributes.new(color, "FLOAT_COLOR", "POINT").data.foreach_set("color", rgba.ravel())
    weights = np.ascontiguousarray(confidence, dtype=np.float32)
    data.attributes.new("confidence", "FLOAT", "POINT").data.foreach_set("value", weights)
    cloud = bpy.data.objects.new(name, data)
    modifier = cloud.modifiers.new(GROUP, "NODES")
    modifier.node_group = node_group()
    extent = np.percentile(xyz, 95, axis=0) - np.percentile(xyz, 5, axis=0) if len(xyz) else np.ones(3)
    compat.set_modifier_input(modifier, "Material", points_material(material, color))
    compat.set_modifier_input(modifier, "Point Radius", float(RADIUS_SHARE * np.linalg.norm(extent)))
    return cloud
