"""Exact depth and motion truth: rays through the footage's pixel centres against the evaluated meshes.

The rays are the vertices of a mesh in camera axes (OpenCV), cast by a geometry-nodes tree, so truth depends on
no renderer setting: no filter, no motion blur, no denoiser, and the lens distortion is that of the rays.
"""

import bpy
import numpy as np
from mathutils import Matrix
from shapes import MOVERS, STATIC, collection

FAR_M = 1000.0


def ray_caster(rays: np.ndarray) -> bpy.types.Object:
    """Object whose vertices are ``rays`` (H, W, 2) at z = 1 and whose nodes measure the depth along them."""
    directions = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1).reshape(-1, 3)
    mesh = bpy.data.meshes.new("Rays")
    mesh.vertices.add(len(directions))
    mesh.vertices.foreach_set("co", directions.astype(np.float32).ravel())
    caster = bpy.data.objects.new("Rays", mesh)
    caster.hide_render = True
    bpy.context.scene.collection.objects.link(caster)
    caster.modifiers.new("Cast", "NODES").node_group = cast_nodes()
    return caster


def cast_nodes() -> bpy.types.NodeTree:
    """Node group: stores on every vertex the z of the first hit in Static and in Movers (0 = none)."""
    tree = bpy.data.node_groups.new("Cast", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    node, link = tree.nodes.new, tree.links.new
    passed = node("NodeGroupInput").outputs[0]
    direction = node("GeometryNodeInputPosition").outputs[0]
    for name in (STATIC, MOVERS):
        info = node("GeometryNodeCollectionInfo")
        info.transform_space = "RELATIVE"
        info.inputs["Collection"].default_value = collection(name)
        real = node("GeometryNodeRealizeInstances")
        link(info.outputs[0], real.inputs[0])
        cast = node("GeometryNodeRaycast")
        link(real.outputs[0], cast.inputs["Target Geometry"])
        cast.inputs["Source Position"].default_value = (0, 0, 0)
        link(direction, cast.inputs["Ray Direction"])
        cast.inputs["Ray Length"].default_value = FAR_M
        split = node("ShaderNodeSeparateXYZ")
        link(cast.outputs["Hit Position"], split.inputs[0])
        hit_z = node("ShaderNodeMath")
        hit_z.operation = "MULTIPLY"
        link(split.outputs["Z"], hit_z.inputs[0])
        link(cast.outputs["Is Hit"], hit_z.inputs[1])
        store = node("GeometryNodeStoreNamedAttribute")
        store.data_type, store.domain = "FLOAT", "POINT"
        store.inputs["Name"].default_value = name
        link(passed, store.inputs["Geometry"])
        link(hit_z.outputs[0], store.inputs["Value"])
        passed = store.outputs[0]
    link(passed, node("NodeGroupOutput").inputs[0])
    return tree


def measure(caster: bpy.types.Object, pose: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Z-depth in metres (0 = none) and moving mask, both ``shape``, at the scene's current frame and ``pose``."""
    caster.matrix_world = Matrix(pose.tolist())
    evaluated = caster.evaluated_get(bpy.context.evaluated_depsgraph_get())
    found = []
    for name in (STATIC, MOVERS):
        z = np.empty(len(caster.data.vertices), np.float32)
        evaluated.data.attributes[name].data.foreach_get("value", z)
        found.append(np.where(z > 0, z, np.inf).reshape(shape))
    static, moving = found
    depth = np.minimum(static, moving)
    return np.where(np.isfinite(depth), depth, 0.0), moving < static
