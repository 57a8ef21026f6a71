"""Meshes with UVs in metres (divided by the material's tile), placed in the collections Static and Movers.

World axes: x right, y away, z up, metres. A shape belongs to Movers if it ever moves in the shot.
"""

import bpy
import numpy as np

STATIC, MOVERS = "Static", "Movers"


def collection(name: str) -> bpy.types.Collection:
    """The scene's collection of that name, made at first use."""
    if name not in bpy.data.collections:
        made = bpy.data.collections.new(name)
        bpy.context.scene.collection.children.link(made)
    return bpy.data.collections[name]


def mesh_object(name, vertices, faces, uvs, material, group=STATIC, smooth=False):
    """Object of ``vertices`` (N, 3), ``faces`` (lists of indices) and ``uvs`` (L, 2) per face corner in metres."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(np.asarray(vertices, float).tolist(), [], faces)
    layer = mesh.uv_layers.new(name="UVMap")
    layer.data.foreach_set("uv", (np.asarray(uvs, float) / np.asarray(material["tile_m"])).ravel())
    mesh.materials.append(material)
    if smooth:
        mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    made = bpy.data.objects.new(name, mesh)
    collection(group).objects.link(made)
    return made


def placed(obj, at=(0, 0, 0), turn_deg=0.0, parent=None):
    """Put ``obj`` at ``at``, turned about z; returns it."""
    obj.location = at
    obj.rotation_euler = (0, 0, np.radians(turn_deg))
    if parent is not None:
        obj.parent = parent
    return obj


BOX_FACES = [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]


def box(name, size, at, material, turn_deg=0.0, group=STATIC, bevel=0.0, parent=None, taper=(1, 1), fit=False):
    """Box of ``size`` standing on ``at`` (centre of its bottom).

    ``taper`` scales the top; ``fit`` stretches one tile of the material over every side instead of repeating it.
    """
    w, d, h = np.asarray(size, float)
    base = np.array([[-w, -d], [w, -d], [w, d], [-w, d]]) / 2
    vertices = np.concatenate([np.c_[base, np.zeros(4)], np.c_[base * taper, np.full(4, h)]])
    tile = np.asarray(material["tile_m"])
    uvs = []
    for k, (a, b) in enumerate([(w, d), (w, d), (w, h), (d, h), (w, h), (d, h)]):
        a, b = tile if fit else (a, b)
        offset = np.zeros(2) if fit else 0.37 * tile * k
        corners = [[0, 0], [0, b], [a, b], [a, 0]] if k == 0 else [[0, 0], [a, 0], [a, b], [0, b]]
        uvs += (np.asarray(corners) + offset).tolist()
    made = mesh_object(name, vertices, BOX_FACES, uvs, material, group)
    if bevel:
        rounding = made.modifiers.new("Bevel", "BEVEL")
        rounding.width, rounding.segments = bevel, 2
        made.data.polygons.foreach_set("use_smooth", [True] * 6)
        rounding.harden_normals = True
    return placed(made, at, turn_deg, parent)


def sheet(name, corner, across, up, material, group=STATIC, fit=False, parent=None, steps=1, wave=0.0):
    """Rectangle from ``corner`` along the vectors ``across`` and ``up``; ``wave`` metres of folds, as a curtain."""
    corner, across, up = (np.asarray(v, float) for v in (corner, across, up))
    t = np.linspace(0, 1, steps + 1)
    normal = np.cross(across, up)
    normal /= np.linalg.norm(normal)
    fold = wave * np.sin(t * np.linalg.norm(across) * 38)[:, None] * normal
    bottom = corner + t[:, None] * across + fold
    vertices = np.concatenate([bottom, bottom + up])
    n = steps + 1
    faces = [[k, k + 1, n + k + 1, n + k] for k in range(steps)]
    w, h = material["tile_m"] if fit else (np.linalg.norm(across), np.linalg.norm(up))
    uvs = [[[t[k] * w, 0], [t[k + 1] * w, 0], [t[k + 1] * w, h], [t[k] * w, h]] for k in range(steps)]
    made = mesh_object(name, vertices, faces, np.concatenate(uvs), material, group, smooth=bool(wave))
    made.parent = parent
    return made


def lathe(name, profile, material, at=(0, 0, 0), segments=20, group=STATIC, parent=None, flatten=1.0):
    """Body of revolution about z of ``profile`` (N, 2) = radius, height; ``flatten`` scales its y axis."""
    profile = np.asarray(profile, float)
    n = len(profile)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle) * flatten], 1)
    vertices = np.concatenate([np.c_[ring * r, np.full(segments, z)] for r, z in profile])
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))]
    girth = 2 * np.pi * profile[:, 0].max()
    faces, uvs = [], []
    for i in range(n - 1):
        for k in range(segments):
            j = (k + 1) % segments
            faces.append([i * segments + k, i * segments + j, (i + 1) * segments + j, (i + 1) * segments + k])
            u0, u1 = girth * k / segments, girth * (k + 1) / segments
            uvs += [[u0, length[i]], [u1, length[i]], [u1, length[i + 1]], [u0, length[i + 1]]]
    for ring_start, order in ((0, -1), ((n - 1) * segments, 1)):
        faces.append([ring_start + k for k in range(segments)][::order])
        uvs += [[0, 0]] * segments
    made = mesh_object(name, vertices, faces, uvs, material, group, smooth=True)
    return placed(made, at, 0, parent)


def capsule(length, radius, end_radius=None, steps=5):
    """Profile of a rounded limb from the origin down to -``length``, for :func:`lathe`."""
    end_radius = radius if end_radius is None else end_radius
    a = np.linspace(-np.pi / 2, 0, steps)
    low = np.c_[end_radius * np.cos(a), -length + end_radius * np.sin(a)]
    b = np.linspace(0, np.pi / 2, steps)
    high = np.c_[radius * np.cos(b), radius * np.sin(b)]
    profile = np.concatenate([low, high])
    profile[:, 0] = np.maximum(profile[:, 0], 1e-4)
    return profile


def foliage(name, material, centres, radii, count, leaf_m, rng, group=STATIC):
    """``count`` single leaves strewn over the shells of ellipsoids ``centres`` (B, 3), ``radii`` (B, 3)."""
    centres, radii = np.asarray(centres, float), np.asarray(radii, float)
    blob = rng.integers(0, len(centres), count)
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    middle = centres[blob] + direction * radii[blob] * rng.uniform(0.72, 1.0, (count, 1)) ** 0.7
    first = rng.standard_normal((count, 3))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(first, direction + 0.5 * rng.standard_normal((count, 3)))
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    size = leaf_m * rng.uniform(0.6, 1.2, (count, 1))
    corners = [
        middle - first * size,
        middle + 0.45 * second * size,
        middle + first * size,
        middle - 0.45 * second * size,
    ]
    vertices = np.stack(corners, 1).reshape(-1, 3)
    faces = np.arange(count * 4).reshape(-1, 4).tolist()
    shade = np.repeat(rng.random((count, 2)), 4, axis=0) * np.asarray(material["tile_m"])
    return mesh_object(name, vertices, faces, shade, material, group)
