"""A few words to write node trees in: make a node, set it up, link it, and get its output back."""

import bpy


class NodeBuilder:
    """Adds nodes to ``tree``. Values given as inputs are either sockets, which get linked, or constants."""

    def __init__(self, tree: bpy.types.NodeTree):
        self.tree = tree
        self.column = 0

    def node(self, kind: str, inputs: dict | None = None, **settings) -> bpy.types.Node:
        """Make a node of type ``kind``; ``settings`` are its properties, ``inputs`` go by index or identifier."""
        node = self.tree.nodes.new(kind)
        for name, value in settings.items():
            setattr(node, name, value)
        for key, value in (inputs or {}).items():
            self.connect(self.input(node, key), value)
        # One readable staircase from left to right is enough: the inputs of the group are what users touch.
        node.location = (180 * (self.column // 4), -170 * (self.column % 4))
        self.column += 1
        return node

    def first(self, kind: str, inputs: dict | None = None, **settings) -> bpy.types.NodeSocket:
        """First output of a new node: for the many that have one result."""
        return self.node(kind, inputs, **settings).outputs[0]

    @staticmethod
    def input(node: bpy.types.Node, key: int | str) -> bpy.types.NodeSocket:
        if isinstance(key, int):
            return node.inputs[key]
        # Several sockets of one name exist for different data types; only the one in use is enabled.
        return next(s for s in node.inputs if key in (s.identifier, s.name) and s.enabled)

    def connect(self, socket: bpy.types.NodeSocket, value) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = value

    def math(self, operation: str, *values) -> bpy.types.NodeSocket:
        """Float arithmetic."""
        return self.first("ShaderNodeMath", dict(enumerate(values)), operation=operation)

    def integer(self, operation: str, *values) -> bpy.types.NodeSocket:
        """Integer arithmetic: exact where floats are not (indices above 2^24)."""
        return self.first("FunctionNodeIntegerMath", dict(enumerate(values)), operation=operation)

    def compare(self, operation: str, a, b) -> bpy.types.NodeSocket:
        return self.first("FunctionNodeCompare", {0: a, 1: b}, data_type="FLOAT", operation=operation)

    def boolean(self, operation: str, *values) -> bpy.types.NodeSocket:
        return self.first("FunctionNodeBooleanMath", dict(enumerate(values)), operation=operation)

    def vector(self, x, y, z) -> bpy.types.NodeSocket:
        return self.first("ShaderNodeCombineXYZ", {0: x, 1: y, 2: z})

    def attribute(self, name: str, data_type: str = "FLOAT") -> bpy.types.NodeSocket:
        return self.first("GeometryNodeInputNamedAttribute", {"Name": name}, data_type=data_type)

    def store(self, geometry, name: str, value, data_type: str = "FLOAT") -> bpy.types.NodeSocket:
        inputs = {"Geometry": geometry, "Name": name, "Value": value}
        return self.first("GeometryNodeStoreNamedAttribute", inputs, data_type=data_type, domain="POINT")


def new_group(name: str, inputs: list[tuple], pointcloud: bool = True) -> tuple[bpy.types.NodeTree, NodeBuilder, dict]:
    """A geometry node group with ``inputs`` (name, socket type, default or None, minimum, maximum, description).

    Returns the group, a builder on it and its input sockets by name.
    """
    tree = bpy.data.node_groups.new(name, "GeometryNodeTree")
    tree.is_modifier = True
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    for socket_name, kind, default, low, high, description in inputs:
        socket = tree.interface.new_socket(socket_name, in_out="INPUT", socket_type=kind, description=description)
        if low is not None:
            socket.min_value = low
        if high is not None:
            socket.max_value = high
        if default is not None:
            socket.default_value = default
    build = NodeBuilder(tree)
    group_input = build.node("NodeGroupInput")
    return tree, build, {s.name: s for s in group_input.outputs if s.name}


def points_material(name: str, attribute: str) -> bpy.types.Material:
    """A material that shows a colour attribute as it was filmed: emission, no lighting."""
    material = bpy.data.materials.get(name)
    if material:
        return material
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0):  # from 5.0 on every material has nodes
        material.use_nodes = True
    build = NodeBuilder(material.node_tree)
    material.node_tree.nodes.clear()
    color = build.node("ShaderNodeAttribute", attribute_name=attribute, attribute_type="GEOMETRY").outputs["Color"]
    emission = build.first("ShaderNodeEmission", {"Color": color})
    build.node("ShaderNodeOutputMaterial", {"Surface": emission})
    return material
