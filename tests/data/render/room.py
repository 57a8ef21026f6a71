"""Cluttered living room, hand-held: about 1.6 m of sideways and forward path, a toy truck rolls over the floor."""

import numpy as np
import textures
from lens import Lens
from lights import even, panel, sun
from materials import plain, textured
from rig import hand_held, key_matrices, smooth_path, turn_z
from shapes import MOVERS, box, foliage, lathe, mesh_object, placed, sheet

LENS = Lens(640, 360, 540.0)
MOTION = "moving"
SAMPLES = 4
TITLE = "cluttered living room, hand-held camera; a toy truck moves"


def build(count: int, fps: float) -> np.ndarray:
    """Make the scene; returns camera poses (count, 4, 4)."""
    furnish(np.random.default_rng(11))
    truck(count)
    positions = smooth_path([(-1.15, -1.75, 1.42), (-0.55, -1.5, 1.36), (0.05, -1.28, 1.5), (0.42, -1.02, 1.45)], count)
    targets = smooth_path([(-0.35, 1.7, 0.62), (-0.05, 1.8, 0.58), (0.15, 1.9, 0.5), (0.0, 1.9, 0.55)], count)
    return hand_held(positions, targets, fps, np.random.default_rng(5))


def furnish(rng) -> None:
    """All that stands still in the room; also the set of the static clip."""
    shell(rng)
    bookcase(rng)
    table(rng)
    sofa(rng)
    corner_things(rng)
    sun((0.62, 0.30, -0.55), 5.0)
    panel((-2.3, 0.5, 1.6), (1.0, 0.8, 0.6), (1.6, 1.4), 70, (0.86, 0.93, 1.0))
    panel((0.6, 0.0, 2.5), (0.6, 0.3, 0.0), (1.6, 1.6), 45, (1.0, 0.88, 0.72))
    even((0.85, 0.92, 1.0), 0.35)


def shell(rng) -> None:
    """Floor, walls, window, curtain, pictures, rug."""
    floor = textured("Floor", textures.planks(rng), 1.6, 0.35, bump=0.002)
    paint = textured("Paint", textures.plaster(rng), 2.0, 0.9)
    wall = textured("Brick wall", textures.bricks(rng), (1.35, 1.05), 0.85, bump=0.006)
    white = plain("White gloss", (0.78, 0.77, 0.74), 0.35)
    box("Floor", (7.0, 8.0, 0.1), (0, 0, -0.1), floor)
    box("Back wall", (7.0, 0.1, 2.7), (0, 2.65, 0), paint)
    box("Right wall", (0.1, 8.0, 2.7), (2.75, 0, 0), wall)
    box("Ceiling", (7.0, 8.0, 0.1), (0, 0, 2.7), plain("Ceiling", (0.8, 0.8, 0.78), 0.9))
    for y, width in ((-2.35, 3.3), (2.15, 1.0)):
        box("Window wall", (0.1, width, 2.7), (-2.65, y, 0), paint)
    box("Below window", (0.1, 2.35, 0.8), (-2.65, 0.47, 0), paint)
    box("Above window", (0.1, 2.35, 0.5), (-2.65, 0.47, 2.2), paint)
    for y in (-0.7, 0.47, 1.64):
        box("Window post", (0.09, 0.07, 1.4), (-2.62, y, 0.8), white)
    box("Window sill", (0.3, 2.5, 0.04), (-2.5, 0.47, 0.77), white, bevel=0.01)
    cloth = textured(
        "Curtain", textures.fabric(rng, (0.68, 0.62, 0.50), (0.36, 0.42, 0.46), pattern="floral"), 0.9, 0.9
    )
    sheet("Curtain", (-2.48, 1.45, 0.15), (0.05, 0.75, 0), (0, 0, 2.3), cloth, steps=60, wave=0.045)
    box("Skirting back", (5.4, 0.03, 0.1), (0, 2.585, 0), white)
    box("Skirting right", (0.03, 6.0, 0.1), (2.685, 0, 0), white)
    frame = plain("Picture frame", (0.03, 0.025, 0.02), 0.4)
    for x, z, w, h in (
        (-1.35, 1.35, 0.55, 0.75),
        (-0.62, 1.5, 0.4, 0.55),
        (-0.62, 0.98, 0.4, 0.42),
        (0.0, 1.42, 0.5, 0.68),
    ):
        print_ = textured("Print", textures.poster(rng), (w - 0.06, h - 0.06), 0.6)
        box("Frame", (w, 0.03, h), (x, 2.585, z), frame)
        sheet("Print", (x - w / 2 + 0.03, 2.565, z + 0.03), (w - 0.06, 0, 0), (0, 0, h - 0.06), print_, fit=True)
    for y, z in ((0.6, 1.25), (1.55, 1.4)):
        print_ = textured("Poster", textures.poster(rng), (0.6, 0.85), 0.7)
        sheet("Poster", (2.69, y + 0.3, z), (0, -0.6, 0), (0, 0, 0.85), print_, fit=True)
    carpet = textured("Rug", textures.rug(rng), (2.3, 1.6), 1.0, specular=0.0)
    box("Rug", (2.3, 1.6, 0.012), (0.15, 0.75, 0), carpet, 7)


def bookcase(rng) -> None:
    """Shelves with books, boxes and pots at the back wall."""
    board = textured("Shelf wood", textures.wood(rng, dark=(0.40, 0.27, 0.15), light=(0.66, 0.48, 0.30)), 0.8, 0.5)
    spines = textured("Spines", textures.book_spines(rng), (1.0, 1.0), 0.6)
    paper = plain("Paper", (0.72, 0.68, 0.58), 0.9)
    x0, x1, y = 0.75, 2.35, 2.42
    for x in (x0, (x0 + x1) / 2, x1):
        box("Upright", (0.03, 0.32, 2.05), (x, y, 0), board)
    for k in range(6):
        box("Shelf", (x1 - x0, 0.32, 0.028), ((x0 + x1) / 2, y, 0.06 + 0.39 * k), board)
    for k in range(5):
        for left, right in ((x0 + 0.03, (x0 + x1) / 2 - 0.02), ((x0 + x1) / 2 + 0.02, x1 - 0.03)):
            x, stop = left, right - rng.uniform(0.02, 0.3)
            while x < stop:
                width, height = rng.uniform(0.018, 0.05), rng.uniform(0.2, 0.33)
                book(
                    rng,
                    spines,
                    paper,
                    (x + width / 2, y - 0.03 + rng.uniform(-0.02, 0.05), 0.088 + 0.39 * k),
                    width,
                    height,
                )
                x += width + 0.002
    glaze = [
        plain(f"Glaze {k}", c, 0.25) for k, c in enumerate(((0.45, 0.08, 0.05), (0.05, 0.22, 0.35), (0.6, 0.5, 0.2)))
    ]
    for k, x in enumerate((0.95, 1.5, 2.05)):
        lathe("Vase", [(0.05, 0), (0.09, 0.08), (0.08, 0.16), (0.035, 0.24), (0.05, 0.27)], glaze[k], (x, y, 2.04))


def book(rng, spines, paper, at, width, height) -> None:
    """One book, its spine toward -y, from a random strip of the atlas."""
    depth = rng.uniform(0.15, 0.2)
    x0, x1, y0, y1 = -width / 2, width / 2, -depth / 2, depth / 2
    vertices = [
        (x0, y0, 0),
        (x1, y0, 0),
        (x1, y1, 0),
        (x0, y1, 0),
        (x0, y0, height),
        (x1, y0, height),
        (x1, y1, height),
        (x0, y1, height),
    ]
    u = rng.integers(0, 32) / 32
    spine = [[u, 0], [u + 1 / 32, 0], [u + 1 / 32, 1], [u, 1]]
    cover = [[u + 0.004, 0.01], [u + 0.006, 0.01], [u + 0.006, 0.06], [u + 0.004, 0.06]]
    made = mesh_object(
        "Book", vertices, [[0, 1, 5, 4], [1, 2, 6, 5], [3, 0, 4, 7], [4, 5, 6, 7]], spine + cover * 3, spines
    )
    made.data.materials.append(paper)
    made.data.polygons[3].material_index = 1
    placed(made, at, rng.uniform(-2, 2))


def table(rng) -> None:
    """Coffee table with magazines, mugs, a bowl of fruit; two stools."""
    oak = textured("Oak", textures.wood(rng), 0.9, 0.3)
    dark = plain("Dark steel", (0.03, 0.03, 0.035), 0.4, metallic=0.6)
    x, y = 0.05, 0.75
    box("Table top", (1.15, 0.62, 0.045), (x, y, 0.42), oak, 5, bevel=0.008)
    for dx in (-0.5, 0.5):
        for dy in (-0.24, 0.24):
            box("Table leg", (0.045, 0.045, 0.42), (x + dx, y + dy, 0), dark, 5)
    for k, (dx, dy, turn) in enumerate(((-0.35, -0.1, 20), (-0.32, -0.08, 38), (0.33, 0.12, -15))):
        cover = textured("Magazine", textures.poster(rng), (0.21, 0.28), 0.35)
        box("Magazine", (0.21, 0.28, 0.012), (x + dx, y + dy, 0.465 + 0.013 * (k % 2)), cover, turn, fit=True)
    clay = plain("Mug", (0.75, 0.72, 0.66), 0.3)
    blue = textured(
        "Mug glaze", textures.fabric(rng, (0.15, 0.25, 0.45), (0.85, 0.82, 0.7), pattern="stripes"), 0.12, 0.3
    )
    for dx, dy, glaze in ((0.12, -0.16, clay), (-0.05, 0.18, blue), (0.42, -0.14, blue)):
        lathe(
            "Mug",
            [
                (0.001, 0.004),
                (0.036, 0.0),
                (0.042, 0.05),
                (0.042, 0.095),
                (0.037, 0.095),
                (0.036, 0.012),
                (0.001, 0.01),
            ],
            glaze,
            (x + dx, y + dy, 0.465),
        )
    lathe(
        "Bowl",
        [(0.05, 0), (0.12, 0.035), (0.15, 0.08), (0.142, 0.08), (0.11, 0.04), (0.001, 0.02)],
        clay,
        (x + 0.08, y + 0.08, 0.465),
        28,
    )
    ball = [(0.036 * np.sin(a) + 1e-4, 0.036 - 0.036 * np.cos(a)) for a in np.linspace(0, np.pi, 9)]
    skin = textured(
        "Orange", textures.tinted(textures.cloud(128, 0.6, rng), (0.72, 0.30, 0.04), (0.92, 0.55, 0.12)), 0.2, 0.45
    )
    for dx, dy, dz in ((0.03, 0.05, 0.03), (0.1, 0.12, 0.03), (0.12, 0.04, 0.035), (0.08, 0.08, 0.085)):
        lathe("Orange", ball, skin, (x + dx, y + dy, 0.465 + dz), 14)
    seat = textured(
        "Stool seat", textures.fabric(rng, (0.55, 0.16, 0.12), (0.75, 0.65, 0.5), pattern="checks"), 0.4, 0.9
    )
    for sx, sy in ((-0.95, 0.35), (1.05, 0.25)):
        lathe(
            "Stool",
            [(0.001, 0), (0.17, 0), (0.18, 0.02), (0.18, 0.07), (0.15, 0.085), (0.001, 0.09)],
            seat,
            (sx, sy, 0.38),
            28,
        )
        for a in (0.6, 2.2, 3.7, 5.3):
            lathe("Stool leg", [(0.014, 0), (0.018, 0.39)], oak, (sx + 0.13 * np.cos(a), sy + 0.13 * np.sin(a), 0), 8)


def sofa(rng) -> None:
    """Sofa at the window with cushions and a blanket, crates with labels beside it."""
    cloth = textured(
        "Sofa cloth",
        textures.fabric(rng, (0.30, 0.36, 0.36), (0.26, 0.32, 0.33), stripes=40, pattern="checks"),
        0.5,
        0.95,
    )
    box("Sofa base", (0.85, 1.7, 0.3), (-1.95, 0.75, 0.1), cloth, bevel=0.03)
    box("Sofa back", (0.22, 1.7, 0.5), (-2.28, 0.75, 0.38), cloth, bevel=0.07)
    for y in (-0.12, 1.62):
        box("Sofa arm", (0.85, 0.2, 0.5), (-1.95, y, 0.1), cloth, bevel=0.07)
    for y in (0.34, 1.16):
        box("Seat", (0.66, 0.8, 0.16), (-1.82, y, 0.38), cloth, bevel=0.06)
    prints = (
        ((0.75, 0.62, 0.25), (0.2, 0.2, 0.3), "floral"),
        ((0.7, 0.68, 0.62), (0.55, 0.15, 0.12), "stripes"),
        ((0.12, 0.3, 0.32), (0.8, 0.75, 0.6), "floral"),
    )
    for k, (base, accent, pattern) in enumerate(prints):
        cover = textured("Cushion", textures.fabric(rng, base, accent, pattern=pattern), 0.42, 0.95)
        cushion = box(
            "Cushion", (0.14, 0.42, 0.4), (-1.98 + 0.05 * k, 0.2 + 0.5 * k, 0.55), cover, 12 - 14 * k, bevel=0.06
        )
        cushion.rotation_euler[1] = -0.35
    plaid = textured(
        "Plaid", textures.fabric(rng, (0.66, 0.24, 0.16), (0.2, 0.2, 0.26), stripes=7, pattern="checks"), 0.8, 1.0
    )
    box("Blanket", (0.72, 0.4, 0.02), (-1.82, 1.45, 0.545), plaid, 8, bevel=0.008)
    box("Blanket fall", (0.02, 0.4, 0.4), (-1.46, 1.5, 0.16), plaid, 8, bevel=0.008)


def corner_things(rng) -> None:
    """Cartons, plant, floor lamp, chest with a television, things left on the floor."""
    carton = [textured(f"Carton {k}", textures.label(rng), 0.5, 0.8) for k in range(2)]
    box("Carton", (0.5, 0.42, 0.36), (2.2, 1.35, 0), carton[0], 12, fit=True)
    box("Carton", (0.38, 0.36, 0.28), (2.24, 1.38, 0.36), carton[1], -9, fit=True)
    box("Carton", (0.42, 0.34, 0.3), (2.12, 0.72, 0), carton[1], 31, fit=True)
    pot = textured("Terracotta", textures.plaster(rng, 256, (0.66, 0.36, 0.24), 0.3), 0.4, 0.8)
    lathe(
        "Pot",
        [(0.12, 0), (0.17, 0.26), (0.18, 0.3), (0.15, 0.3), (0.14, 0.26), (0.001, 0.25)],
        pot,
        (-1.95, 2.15, 0),
        26,
    )
    bark = textured("Stem", textures.bark(rng, 256), 0.3, 0.9)
    lathe("Stem", [(0.022, 0.2), (0.014, 1.2)], bark, (-1.95, 2.15, 0), 8)
    green = textured("Leaf", textures.leaves(rng), 1.0, 0.5)
    foliage(
        "Plant",
        green,
        [(-1.95, 2.15, 1.15), (-1.85, 2.05, 0.8), (-2.05, 2.12, 1.5)],
        [(0.36, 0.34, 0.3), (0.3, 0.28, 0.26), (0.22, 0.22, 0.2)],
        260,
        0.11,
        rng,
    )
    steel = plain("Lamp steel", (0.5, 0.48, 0.44), 0.3, metallic=0.9)
    shade = textured("Lamp shade", textures.fabric(rng, (0.85, 0.78, 0.62), (0.80, 0.72, 0.55), stripes=24), 0.4, 0.9)
    lathe("Lamp foot", [(0.15, 0), (0.15, 0.02), (0.015, 0.03), (0.012, 1.5)], steel, (0.48, 2.35, 0), 20)
    lathe("Lamp shade", [(0.2, 1.35), (0.13, 1.65)], shade, (0.48, 2.35, 0), 28)
    chest = textured("Chest", textures.wood(rng, dark=(0.16, 0.1, 0.07), light=(0.34, 0.22, 0.14)), 0.7, 0.4)
    box("Chest", (1.5, 0.42, 0.5), (-0.72, 2.38, 0), chest, bevel=0.01)
    for k in range(3):
        box("Drawer", (0.46, 0.02, 0.4), (-1.21 + 0.49 * k, 2.165, 0.05), chest, bevel=0.006)
        lathe(
            "Knob",
            [(0.001, 0), (0.018, 0.002), (0.018, 0.02), (0.001, 0.024)],
            steel,
            (-1.21 + 0.49 * k, 2.15, 0.28),
            10,
        )
    radio = textured(
        "Radio cloth",
        textures.fabric(rng, (0.5, 0.44, 0.32), (0.3, 0.25, 0.18), stripes=46, pattern="checks"),
        0.3,
        0.8,
    )
    box("Radio", (0.42, 0.2, 0.26), (-1.15, 2.38, 0.5), chest, bevel=0.02)
    box("Radio front", (0.26, 0.01, 0.2), (-1.2, 2.275, 0.53), radio)
    for k in range(3):
        cover = textured("Lying book", textures.label(rng, 256, rng.random(3) * 0.6 + 0.1), 0.3, 0.5)
        box("Lying book", (0.3 - 0.03 * k, 0.21, 0.045), (-0.55, 2.36, 0.5 + 0.045 * k), cover, 9 * k - 6, fit=True)
    glass = plain("Bottle", (0.03, 0.12, 0.05), 0.08, specular=0.7)
    for x in (-0.28, -0.18):
        lathe("Bottle", [(0.038, 0), (0.038, 0.18), (0.014, 0.23), (0.014, 0.3)], glass, (x, 2.33, 0.5), 16)
    rubber = textured("Ball", textures.fabric(rng, (0.72, 0.12, 0.1), (0.9, 0.85, 0.75), stripes=5), 0.4, 0.4)
    lathe(
        "Ball",
        [(0.12 * np.sin(a) + 1e-4, 0.12 - 0.12 * np.cos(a)) for a in np.linspace(0, np.pi, 15)],
        rubber,
        (1.32, 1.05, 0.012),
        24,
    )
    colours = [
        plain(f"Brick {k}", c, 0.35)
        for k, c in enumerate(((0.7, 0.05, 0.04), (0.05, 0.2, 0.6), (0.8, 0.55, 0.03), (0.06, 0.4, 0.12)))
    ]
    for k in range(26):
        x, y = rng.uniform(-0.75, 0.75), rng.uniform(-0.25, 0.3)
        box(
            "Toy brick",
            (0.06, 0.03 + 0.03 * (k % 2), 0.03),
            (x, y, 0.013),
            colours[k % 4],
            rng.uniform(0, 180),
            bevel=0.003,
        )
    shoe = textured("Shoe", textures.fabric(rng, (0.2, 0.22, 0.28), (0.6, 0.58, 0.5), stripes=16), 0.2, 0.8)
    for x, turn in ((1.62, 25), (1.74, 48)):
        box("Shoe", (0.1, 0.28, 0.09), (x, 0.05, 0), shoe, turn, bevel=0.035, taper=(0.7, 0.75))


def truck(count: int) -> None:
    """Toy truck that rolls between the table and the chest."""
    red, yellow, black = (
        plain("Truck red", (0.6, 0.04, 0.03), 0.3),
        plain("Truck yellow", (0.8, 0.5, 0.04), 0.3),
        plain("Tyre", (0.02, 0.02, 0.02), 0.7),
    )
    body = box("Truck bed", (0.3, 0.15, 0.11), (0, 0, 0), yellow, group=MOVERS, bevel=0.012)
    box("Truck cab", (0.1, 0.14, 0.17), (0.19, 0, 0), red, group=MOVERS, bevel=0.02, parent=body)
    for x in (-0.1, 0.17):
        for y in (-0.085, 0.065):
            wheel = lathe(
                "Truck wheel", [(0.001, 0), (0.04, 0), (0.04, 0.02), (0.001, 0.02)], black, group=MOVERS, parent=body
            )
            wheel.location, wheel.rotation_euler = (x, y, 0.0), (-np.pi / 2, 0, 0)
    s = np.arange(-1, count + 1) / (count - 1)
    ease = 3 * np.clip(s, 0, 1) ** 2 - 2 * np.clip(s, 0, 1) ** 3
    poses = [turn_z(0.2 - 0.5 * e, (-1.05 + 1.35 * e, 1.6 + 0.15 * np.sin(np.pi * e), 0.055)) for e in ease]
    key_matrices(body, np.stack(poses) @ np.diag([1.3, 1.3, 1.3, 1.0]), -1)
