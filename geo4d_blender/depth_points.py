"""Animated points: the depth sequence lifted into the world by geometry nodes, with nothing but native nodes.

The modifier sits on a point cloud object, because points out of a point cloud's modifier export to USD as animated
``UsdGeomPoints`` (a mesh host would export nothing). Depth is placed by the pose of the very frame it was made for,
read from a hidden empty whose keys do not interpolate, so that the points neither swim between depth frames nor
follow a camera that the user moves.
"""

from collections.abc import Generator

import bpy
import numpy as np

from . import compat
from .camera import BlenderCamera, set_keyframes, set_pose_keyframes
from .node_builder import new_group, points_material

GROUP = "Geo4D Depth Points"
MATERIAL = "Geo4D Points"
COLOR = "displayColor"  # USD's name for colour, so that every USD viewer shows it

FLOAT, INT, BOOL = "NodeSocketFloat", "NodeSocketInt", "NodeSocketBool"

# name, socket type, default, minimum, maximum, description
CONTROLS = [
    ("Density", FLOAT, 0.25, 0.001, 1.0, "Share of the depth map's pixels that become points"),
    ("Minimum Confidence", FLOAT, 0.1, 0.0, 1.0, "Points that the engine trusts less than this are left out"),
    ("Static", BOOL, True, None, None, "Show what does not move in the world"),
    ("Moving", BOOL, True, None, None, "Show what moves in the world"),
    ("Moving Threshold", FLOAT, 0.5, 0.0, 1.0, "Probability of motion from which a point counts as moving"),
    ("Maximum Distance", FLOAT, 0.0, 0.0, None, "Leave out points farther from the camera than this; 0 keeps all"),
    ("Point Size", FLOAT, 1.0, 0.0, None, "Diameter as a multiple of the distance between neighbouring points"),
]
WIRING = [
    ("Depth", "NodeSocketImage", None, None, None, "EXR sequence: depth, confidence, probability of motion"),
    ("Plate", "NodeSocketImage", None, None, None, "Footage that colours the points"),
    ("Use Plate", BOOL, False, None, None, "Colour the points from the plate"),
    ("Pose", "NodeSocketObject", None, None, None, "Object that holds the camera pose of every depth frame"),
    ("Material", "NodeSocketMaterial", None, None, None, "Material of the points"),
    ("Start Frame", INT, 1, None, None, "Scene frame of the footage's first frame"),
    ("First Index", INT, 0, None, None, "Footage frame of the first depth map"),
    ("Step", INT, 1, 1, None, "Footage frames from one depth map to the next"),
    ("Count", INT, 1, 1, None, "Number of depth maps"),
    ("Plate First", INT, 1, None, None, "Number of the plate's first frame, as the image node counts"),
    ("Width", INT, 1, 1, None, "Depth map's width in pixels"),
    ("Height", INT, 1, 1, None, "Depth map's height in pixels"),
    ("fx", FLOAT, 1.0, None, None, "Focal length in depth-map pixels"),
    ("fy", FLOAT, 1.0, None, None, "Focal length in depth-map pixels"),
    ("cx", FLOAT, 0.0, None, None, "Principal point in depth-map pixels from the left edge"),
    ("cy", FLOAT, 0.0, None, None, "Principal point in depth-map pixels from the top edge"),
    ("k1", FLOAT, 0.0, None, None, "Radial distortion of the plate"),
]


def node_group_steps() -> Generator[None, None, bpy.types.NodeTree]:
    """The shared node group, made on first use in a file, in steps: every node added costs Blender an update."""
    existing = bpy.data.node_groups.get(GROUP)
    if existing:
        return existing
    # It gets its name when it is whole, so that one left unfinished is never taken for it.
    tree, build, given = new_group(f"{GROUP} (unfinished)", CONTROLS + WIRING)
    yield
    index = _footage_index(build, given)
    columns, rows, pixel_u, pixel_v = _pixels(build, given)

    # Normalised camera coordinates of the pixel centre, y down.
    x = build.math("DIVIDE", build.math("SUBTRACT", pixel_u, given["cx"]), given["fx"])
    y = build.math("DIVIDE", build.math("SUBTRACT", pixel_v, given["cy"]), given["fy"])
    sample = _image(build, given["Depth"], pixel_u, pixel_v, given, index, "Closest")
    yield
    color = _plate_color(build, given, x, y, index)
    yield

    points = build.first("GeometryNodePoints", {"Count": build.integer("MULTIPLY", columns, rows)})
    # Everything depends on the pixel, which is the point's index: note it down before points are deleted.
    points = build.store(points, "depth_sample", sample, "FLOAT_COLOR")
    points = build.store(points, "ray", build.vector(x, build.math("MULTIPLY", y, -1.0), -1.0), "FLOAT_VECTOR")
    points = build.store(points, COLOR, color, "FLOAT_COLOR")
    sampled = build.attribute("depth_sample", "FLOAT_COLOR")
    channels = build.node("FunctionNodeSeparateColor", {"Color": sampled}).outputs
    depth, confidence, dynamic = channels[0], channels[1], channels[2]
    yield
    drop = build.boolean("NOT", _kept(build, given, depth, confidence, dynamic))
    points = build.first("GeometryNodeDeleteGeometry", {"Geometry": points, "Selection": drop}, domain="POINT")
    yield

    ray = build.attribute("ray", "FLOAT_VECTOR")
    in_camera = build.first("ShaderNodeVectorMath", {0: ray, "Scale": depth}, operation="SCALE")
    pose = build.node("GeometryNodeObjectInfo", {"Object": given["Pose"]}, transform_space="RELATIVE")
    position = build.first("FunctionNodeTransformPoint", {0: in_camera, 1: pose.outputs["Transform"]})
    points = build.first("GeometryNodeSetPosition", {"Geometry": points, "Position": position})

    # A point's diameter spans the distance to its neighbour in the grid, seen from the camera.
    spacing = build.math("DIVIDE", given["Width"], build.math("MULTIPLY", columns, given["fx"]))
    half = build.math("MULTIPLY", given["Point Size"], 0.5)
    radius = build.math("MULTIPLY", build.math("MULTIPLY", depth, spacing), half)
    points = build.store(points, "confidence", confidence)
    points = build.store(points, "dynamic", dynamic)
    points = build.first("GeometryNodeSetPointRadius", {"Points": points, "Radius": radius})
    for scratch in ("depth_sample", "ray"):
        points = build.first("GeometryNodeRemoveAttribute", {"Geometry": points, "Name": scratch})
    points = build.first("GeometryNodeSetMaterial", {"Geometry": points, "Material": given["Material"]})
    build.node("NodeGroupOutput", {0: points})
    tree.name = GROUP
    return tree


def node_group() -> bpy.types.NodeTree:
    """The shared node group at once."""
    steps = node_group_steps()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _footage_index(build, given):
    """Footage frame whose depth shows now: the last one made at or before the current frame, ends held."""
    frame = build.math("FLOOR", build.node("GeometryNodeInputSceneTime").outputs["Frame"])
    since_first = build.math("SUBTRACT", build.math("SUBTRACT", frame, given["Start Frame"]), given["First Index"])
    position = build.math("FLOOR", build.math("DIVIDE", since_first, given["Step"]))
    last = build.math("SUBTRACT", given["Count"], 1.0)
    position = build.math("MINIMUM", build.math("MAXIMUM", position, 0.0), last)
    return build.math("ADD", build.math("MULTIPLY", position, given["Step"]), given["First Index"])


def _pixels(build, given):
    """Columns and rows of points, and the depth-map pixel centre (u, v) under each point."""
    share = build.math("SQRT", given["Density"])

    def cells(size):
        return build.math("MAXIMUM", build.math("ROUND", build.math("MULTIPLY", size, share)), 1.0)

    def centre(cell, count, size):
        along = build.math("DIVIDE", build.math("MULTIPLY", build.math("ADD", cell, 0.5), size), count)
        return build.math("ADD", build.math("FLOOR", along), 0.5)

    columns, rows = cells(given["Width"]), cells(given["Height"])
    index = build.first("GeometryNodeInputIndex")
    column, row = build.integer("MODULO", index, columns), build.integer("DIVIDE_FLOOR", index, columns)
    return columns, rows, centre(column, columns, given["Width"]), centre(row, rows, given["Height"])


def _image(build, image, u, v, given, frame, interpolation):
    """Colour of ``image`` at pixel (u, v) of the depth map's grid; images start at the bottom in Blender."""
    across = build.math("DIVIDE", u, given["Width"])
    upward = build.math("SUBTRACT", 1.0, build.math("DIVIDE", v, given["Height"]))
    inputs = {"Image": image, "Vector": build.vector(across, upward, 0.0), "Frame": frame}
    node = build.node("GeometryNodeImageTexture", inputs, interpolation=interpolation, extension="EXTEND")
    return node.outputs["Color"]


def _plate_color(build, given, x, y, index):
    """Colour of the plate where the lens put the undistorted ray (x, y): p * (1 + k1 |p|^2)."""
    r2 = build.math("ADD", build.math("MULTIPLY", x, x), build.math("MULTIPLY", y, y))
    bend = build.math("ADD", build.math("MULTIPLY", given["k1"], r2), 1.0)
    u = build.math("ADD", build.math("MULTIPLY", build.math("MULTIPLY", x, bend), given["fx"]), given["cx"])
    v = build.math("ADD", build.math("MULTIPLY", build.math("MULTIPLY", y, bend), given["fy"]), given["cy"])
    frame = build.math("ADD", index, given["Plate First"])
    plate = _image(build, given["Plate"], u, v, given, frame, "Linear")
    switch = {"Switch": given["Use Plate"], "False": (0.6, 0.6, 0.6, 1.0), "True": plate}
    return build.first("GeometryNodeSwitch", switch, input_type="RGBA")


def _kept(build, given, depth, confidence, dynamic):
    """Which points stay."""
    moving = build.compare("GREATER_EQUAL", dynamic, given["Moving Threshold"])
    wanted = build.boolean(
        "OR",
        build.boolean("AND", moving, given["Moving"]),
        build.boolean("AND", build.boolean("NOT", moving), given["Static"]),
    )
    near = build.boolean(
        "OR",
        build.compare("LESS_EQUAL", depth, given["Maximum Distance"]),
        build.compare("LESS_EQUAL", given["Maximum Distance"], 0.0),
    )
    sure = build.compare("GREATER_EQUAL", confidence, given["Minimum Confidence"])
    measured = build.compare("GREATER_THAN", depth, 0.0)
    return build.boolean("AND", build.boolean("AND", measured, sure), build.boolean("AND", wanted, near))


def load_depth_images(scene) -> bpy.types.Image:
    """The scene's EXR sequence as one image datablock."""
    image = bpy.data.images.load(str(scene.depth_path(0)), check_existing=False)
    image.name = f"{scene.folder.name} depth"
    image.source = "SEQUENCE"
    image.colorspace_settings.name = "Non-Color"
    image.alpha_mode = "NONE"
    return image


def new_depth_points(
    name: str, scene, camera: BlenderCamera, frames: np.ndarray, start_frame: int, plate
) -> tuple[bpy.types.Object, bpy.types.Object]:
    """Animated points and the empty that poses them.

    ``frames`` (F,) are the scene frames of the scene's positions, ``start_frame`` that of footage frame 0, and
    ``plate`` a plate.PlateImage or None.
    """
    pose = bpy.data.objects.new(f"{name} Pose", None)
    pose.empty_display_size = 0.1
    pose.hide_viewport = pose.hide_render = True
    set_pose_keyframes(pose, camera, frames, "CONSTANT")

    points = bpy.data.objects.new(name, bpy.data.pointclouds.new(name))
    modifier = points.modifiers.new(GROUP, "NODES")
    modifier.node_group = node_group()
    sx, sy = scene.depth_width / scene.width, scene.depth_height / scene.height
    lens = {"fx": scene.fx * sx, "fy": scene.fy * sy, "cx": scene.cx * sx, "cy": scene.cy * sy}
    steps = np.diff(scene.index)
    even = len(steps) > 0 and (steps == steps[0]).all()
    values = {
        "Depth": load_depth_images(scene),
        "Pose": pose,
        "Material": points_material(MATERIAL, COLOR),
        "Start Frame": int(start_frame),
        "First Index": int(scene.index[0]),
        "Step": int(steps[0]) if even else 1,
        "Count": len(scene) if even else 1,
        "Width": int(scene.depth_width),
        "Height": int(scene.depth_height),
        "k1": float(scene.k1),
        **{socket: float(track[0]) for socket, track in lens.items()},
    }
    if plate is not None:
        values |= {"Plate": plate.image, "Use Plate": True, "Plate First": plate.first_frame}
    for socket, value in values.items():
        compat.set_modifier_input(modifier, socket, value)
    changing = {socket: track for socket, track in lens.items() if np.ptp(track) > 1e-6 * np.abs(track).max()}
    if not even and len(scene) > 1:
        # Footage with gaps: no formula tells which frame has depth, so the one map that shows is keyed.
        changing["First Index"] = scene.index
    _key_inputs(points, modifier, changing, frames)
    return points, pose


def _key_inputs(points, modifier, tracks: dict[str, np.ndarray], frames: np.ndarray) -> None:
    """Key inputs of the modifier by name with values (F,), each held until the next."""
    if not tracks:
        return
    bag = compat.channelbag(points, f"{points.name} Inputs")
    for socket, values in tracks.items():
        set_keyframes(bag, compat.modifier_input_path(modifier, socket), 0, frames, values, "CONSTANT")
