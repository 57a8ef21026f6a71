"""Portrait phone clip in a courtyard: barrel distortion, hand-held arc, a person dances in front of a mural."""

import numpy as np
import textures
from figure import Gait
from lens import Lens
from lights import sky, sun
from materials import plain, textured
from mathutils import Matrix
from rig import hand_held, smooth_path
from shapes import box, foliage, lathe, mesh_object, sheet
from street import clothe_walker

LENS = Lens(360, 640, 500.0, k1=-0.1, overscan=1.08, detail=1.1)
MOTION = "moving"
SAMPLES = 4
ROTATE_DEG = 90
TITLE = "portrait phone clip with barrel distortion, hand-held; a person dances in a courtyard"


def build(count: int, fps: float) -> np.ndarray:
    """Make the scene; returns camera poses (count, 4, 4)."""
    courtyard(np.random.default_rng(31))
    clothe_walker(
        np.random.default_rng(3),
        dance(count),
        "Dancer",
        (0.82, 0.80, 0.74),
        (0.58, 0.16, 0.14),
        "checks",
        backpack=False,
    )
    positions = smooth_path([(-0.75, -0.75, 1.42), (-0.3, -0.6, 1.5), (0.2, -0.55, 1.4), (0.55, -0.65, 1.46)], count)
    targets = smooth_path([(0.1, 2.8, 0.95), (0.0, 2.9, 0.9), (0.05, 2.8, 0.95), (-0.05, 2.9, 0.92)], count)
    return hand_held(positions, targets, fps, np.random.default_rng(12), shift_m=0.014, aim_m=0.05, roll_deg=1.0)


def dance(count: int) -> Gait:
    """Steps on the spot with turns and raised arms, one row a frame and one more at both ends."""
    t = np.arange(-1, count + 1) / 24
    position = np.c_[0.12 + 0.32 * np.sin(1.9 * t), 2.75 + 0.16 * np.sin(2.7 * t + 1)]
    return Gait(position, 0.15 + 0.75 * np.sin(2.2 * t), 6.2 * t, 0.34, 0.36 + 0.3 * np.sin(3.1 * t - 0.5))


def courtyard(rng) -> None:
    """Paved yard and lawn between a painted wall, a brick wall and a hedge."""
    slabs = textured(
        "Yard slabs",
        textures.paving(rng, rows=5, columns=5, dark=(0.42, 0.36, 0.31), light=(0.68, 0.60, 0.52)),
        (2.2, 2.2),
        0.9,
    )
    lawn = textured("Lawn", textures.grass(rng), 1.6, 1.0)
    mural = textured("Mural", textures.murals(rng), (4.2, 3.0), 0.9)
    wall = textured("Yard brick", textures.bricks(rng), (1.35, 1.05), 0.9)
    coping = textured("Coping", textures.plaster(rng, 256, (0.58, 0.57, 0.54), 0.3), 0.7, 0.9)
    box("Lawn", (16, 16, 0.1), (0, 3, -0.105), lawn)
    box("Yard", (4.4, 5.6, 0.1), (0.1, 2.0, -0.09), slabs)
    box("Mural wall", (9.0, 0.3, 2.9), (0, 5.6, 0), mural)
    box("Coping", (9.1, 0.45, 0.12), (0, 5.6, 2.9), coping)
    box("Brick wall", (0.3, 9.0, 2.3), (-2.9, 2.5, 0), wall)
    box("Coping", (0.45, 9.0, 0.1), (-2.9, 2.5, 2.3), coping)
    for x, h, k in ((-3.5, 7.5, 0), (2.5, 6.2, 1)):
        house = textured(
            f"Far house {k}", textures.bricks(rng, dark=(0.5, 0.42, 0.33), light=(0.7, 0.62, 0.5)), (1.5, 1.2), 0.9
        )
        box("Far house", (5.6, 3, h), (x, 10.5, 0), house)
        pane = plain("Far pane", (0.04, 0.05, 0.06), 0.05, specular=0.8)
        frame = plain("Far frame", (0.75, 0.74, 0.7), 0.6)
        for dx in (-1.8, 0, 1.8):
            for z in (3.3, 5.4):
                if z + 1.4 < h:
                    box("Far frame", (1.0, 0.1, 1.4), (x + dx, 8.97, z), frame)
                    box("Far window", (0.84, 0.1, 1.24), (x + dx, 8.95, z + 0.08), pane)
    green = textured("Hedge", textures.leaves(rng), 1.0, 0.9)
    blobs = [(2.75 + rng.normal(0, 0.06), y, z) for y in np.arange(0.4, 5.6, 0.55) for z in (0.35, 0.9, 1.35)]
    foliage("Hedge", green, blobs, np.full((len(blobs), 3), 0.46), 5200, 0.07, rng)
    box("Hedge core", (0.5, 5.4, 1.5), (2.9, 2.9, 0), plain("Hedge core", (0.02, 0.035, 0.012), 1.0))
    things(rng, green)
    sun((0.5, 0.55, -0.8), 4.0)
    sky((0.66, 0.74, 0.82), (0.18, 0.36, 0.66), 0.95)


def things(rng, green) -> None:
    """Bench, pots, crates, barrel, ladder, ball, tufts of grass."""
    timber = textured("Timber", textures.wood(rng, dark=(0.36, 0.26, 0.17), light=(0.62, 0.48, 0.34)), 0.8, 0.8)
    iron = plain("Iron", (0.03, 0.035, 0.035), 0.5, metallic=0.5)
    for k in range(4):
        box("Seat board", (1.5, 0.09, 0.035), (-1.15, 4.72 + 0.11 * k, 0.43), timber, bevel=0.006)
    for k in range(3):
        box("Back board", (1.5, 0.03, 0.09), (-1.15, 5.14, 0.55 + 0.13 * k), timber, bevel=0.006)
    for x in (-1.8, -0.5):
        box("Bench leg", (0.05, 0.42, 0.43), (x, 4.9, 0), iron)
        box("Bench post", (0.05, 0.05, 0.9), (x, 5.17, 0), iron)
    pot = textured("Clay", textures.plaster(rng, 256, (0.68, 0.38, 0.26), 0.35), 0.4, 0.85)
    for x, y, scale in (
        (1.75, 4.6, 1.25),
        (1.3, 5.05, 1.0),
        (-2.25, 3.6, 1.15),
        (1.85, 1.75, 1.0),
        (-2.2, 1.5, 0.9),
        (0.75, 5.2, 0.8),
    ):
        profile = np.array(
            [(0.12, 0), (0.17, 0.26), (0.19, 0.28), (0.19, 0.33), (0.15, 0.33), (0.14, 0.27), (0.001, 0.26)]
        )
        lathe("Pot", profile * scale, pot, (x, y, 0.01), 24)
        middle = np.array([[x, y, 0.55 * scale], [x + 0.08, y, 0.75 * scale]])
        foliage(
            "Pot plant",
            green,
            middle,
            np.array([[0.26, 0.26, 0.22], [0.18, 0.18, 0.2]]) * scale,
            170,
            0.07 * scale,
            rng,
        )
        petals = plain("Petals", tuple(rng.uniform([0.5, 0.05, 0.05], [0.8, 0.5, 0.4])), 0.8)
        foliage("Flowers", petals, middle[1:], np.array([[0.22, 0.22, 0.24]]) * scale, 40, 0.035 * scale, rng)
    crate = [textured(f"Crate {k}", textures.label(rng), 0.5, 0.85) for k in range(2)]
    box("Crate", (0.55, 0.45, 0.4), (-2.3, 4.6, 0.01), crate[0], 8, fit=True)
    box("Crate", (0.45, 0.4, 0.35), (-2.32, 4.62, 0.41), crate[1], -12, fit=True)
    stave = textured("Staves", textures.planks(rng, 512, rows=10), 0.9, 0.8)
    lathe(
        "Barrel",
        [(0.24, 0), (0.3, 0.25), (0.32, 0.42), (0.3, 0.6), (0.25, 0.85), (0.2, 0.83), (0.001, 0.83)],
        stave,
        (2.0, 3.2, 0.01),
        24,
    )
    for z in (0.14, 0.68):
        lathe("Hoop", [(0.295, 0), (0.3, 0.05)], iron, (2.0, 3.2, z), 24)
    for x in (0.38, 0.78):
        rail = box("Ladder rail", (0.05, 0.03, 2.6), (x, 4.95, 0.01), timber)
        rail.rotation_euler = (-0.19, 0, 0)
    for k in range(8):
        z = 0.25 + 0.3 * k
        box("Rung", (0.42, 0.03, 0.03), (0.58, 4.96 + 0.19 * z, z), timber)
    rubber = textured(
        "Football", textures.fabric(rng, (0.85, 0.84, 0.8), (0.08, 0.08, 0.1), stripes=4, pattern="checks"), 0.25, 0.5
    )
    lathe(
        "Football",
        [(0.11 * np.sin(a) + 1e-4, 0.11 - 0.11 * np.cos(a)) for a in np.linspace(0, np.pi, 15)],
        rubber,
        (-0.85, 2.1, 0.012),
        24,
    )
    cloth = textured(
        "Picnic cloth",
        textures.fabric(rng, (0.80, 0.76, 0.66), (0.2, 0.32, 0.42), stripes=8, pattern="checks"),
        0.8,
        1.0,
    )
    box("Picnic cloth", (0.9, 0.8, 0.008), (1.25, 1.7, 0.011), cloth, 24)
    fallen = textured("Fallen leaves", textures.leaves(rng, 128, (0.34, 0.22, 0.08), (0.66, 0.48, 0.16)), 1.0, 0.9)
    strewn = foliage("Fallen leaves", fallen, [(0.1, 2.2, 0.016)], [(2.1, 2.6, 0.003)], 150, 0.035, rng)
    strewn.data.transform(Matrix.Diagonal((1.0, 1.0, 0.1, 1.0)))
    strewn.location = (0, 0, 0.016)
    tufts(rng)


def tufts(rng) -> None:
    """Blades of grass along the edges of the paving."""
    blade = textured("Blades", textures.leaves(rng, 128, (0.16, 0.24, 0.07), (0.5, 0.6, 0.26)), 1.0, 0.9)
    count = 900
    x = np.where(rng.random(count) < 0.5, -2.15, 2.35) + rng.normal(0, 0.07, count)
    foot = np.c_[x, rng.uniform(-0.5, 4.8, count), np.zeros(count)]
    lean = rng.normal((0, 0, 0.13), 0.05, (count, 3))
    side = rng.normal(0, 0.008, (count, 3)) * [1, 1, 0]
    vertices = np.stack([foot - side, foot + side, foot + lean], 1).reshape(-1, 3)
    faces = np.arange(count * 3).reshape(-1, 3).tolist()
    mesh_object("Tufts", vertices, faces, np.repeat(rng.random((count, 2)), 3, axis=0), blade)
    bill = textured("Yard bill", textures.poster(rng), (0.6, 0.84), 0.9)
    sheet("Yard bill", (1.45, 5.44, 1.5), (0.6, 0, 0), (0, 0, 0.84), bill, fit=True)
