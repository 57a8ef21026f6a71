"""City street from a slow forward dolly at the kerb: cars in both lanes, a walking figure."""

import numpy as np
import textures
from figure import person, walk
from lens import Lens
from lights import sky, sun
from materials import plain, textured
from rig import hand_held, key_matrices, smooth_path, turn_z
from shapes import MOVERS, box, foliage, lathe, placed, sheet

LENS = Lens(640, 360, 500.0)
MOTION = "moving"
SAMPLES = 4
TITLE = "city street, forward dolly; two cars and a walking person move"


def build(count: int, fps: float) -> np.ndarray:
    """Make the scene; returns camera poses (count, 4, 4)."""
    town(np.random.default_rng(21))
    clothe_walker(np.random.default_rng(4), walk((4.55, 9.2), (4.3, 6.5), count))
    drive(car("Hatchback", (0.42, 0.05, 0.04)), (-1.6, 27.0), (-1.6, 9.5), count)
    drive(car("Van", (0.62, 0.63, 0.65), van=True), (1.55, 10.0), (1.55, 21.0), count)
    positions = smooth_path([(2.35, -1.9, 1.62), (2.42, -0.8, 1.6), (2.36, 0.4, 1.63), (2.4, 1.6, 1.6)], count)
    targets = smooth_path([(1.2, 14, 1.75), (1.35, 15, 1.65), (1.2, 16, 1.7), (1.3, 17, 1.7)], count)
    return hand_held(positions, targets, fps, np.random.default_rng(8), shift_m=0.006, aim_m=0.05, roll_deg=0.25)


def town(rng) -> None:
    """Road along y (x from -3.2 to 3.2 is carriageway), pavements, houses, parked cars, trees; also for other clips."""
    ground(rng)
    houses(rng)
    furniture(rng)
    for k, (x, y, turn, colour) in enumerate(
        [
            (-2.75, 6.2, 180, (0.03, 0.06, 0.14)),
            (-2.8, 12.4, 180, (0.5, 0.48, 0.42)),
            (-2.75, 19.2, 180, (0.05, 0.05, 0.055)),
            (2.72, 21.5, 0, (0.07, 0.14, 0.1)),
            (2.75, 27.0, 0, (0.4, 0.1, 0.04)),
            (-2.8, 0.2, 180, (0.55, 0.55, 0.56)),
        ]
    ):
        placed(car(f"Parked {k}", colour, group="Static", van=k == 2), (x, y, 0), turn)
    sun((0.34, 0.62, -0.9), 4.6)
    sky((0.62, 0.72, 0.82), (0.16, 0.33, 0.62), 0.9)


def ground(rng) -> None:
    """Carriageway with worn markings, kerbs, slabs, drain covers."""
    road = textured("Asphalt", textures.asphalt(rng), 3.2, 0.9)
    slabs = textured("Slabs", textures.paving(rng), (2.4, 1.8), 0.85)
    kerb = textured("Kerb", textures.plaster(rng, 256, (0.60, 0.59, 0.57), 0.3), 0.7, 0.9)
    paint = textured("Road paint", textures.plaster(rng, 512, (0.84, 0.83, 0.80), 0.45), 1.1, 0.8)
    iron = textured(
        "Iron", textures.fabric(rng, (0.22, 0.2, 0.19), (0.12, 0.11, 0.1), stripes=12, pattern="checks"), 0.6, 0.7
    )
    box("Road", (6.4, 130, 0.1), (0, 40, -0.1), road)
    for side in (-1, 1):
        box("Pavement", (4.0, 130, 0.12), (side * 5.35, 40, 0.0), slabs)
        box("Kerb", (0.16, 130, 0.125), (side * 3.28, 40, 0.0), kerb)
        for y in np.arange(-3.0, 70, 9.3):
            box("Drain", (0.4, 0.5, 0.008), (side * 2.9, y, 0), iron)
    for y in np.arange(-8, 80, 5.0):
        box("Centre line", (0.12, 2.6, 0.004), (0, y, 0), paint)
    for x in np.arange(-2.8, 3.0, 0.95):
        box("Crossing", (0.5, 2.6, 0.004), (x, 32.0, 0), paint)
    lathe("Cover", [(0.33, 0), (0.33, 0.006), (0.001, 0.006)], iron, (0.9, 5.2, 0), 24)
    lathe("Cover", [(0.33, 0), (0.33, 0.006), (0.001, 0.006)], iron, (-0.7, 11.0, 0), 24)


def houses(rng) -> None:
    """Two rows of fronts of several kinds and a house across the end of the street."""
    kinds = [
        textured("Red brick", textures.bricks(rng), (1.5, 1.2), 0.9),
        textured(
            "Yellow brick", textures.bricks(rng, dark=(0.52, 0.42, 0.28), light=(0.74, 0.64, 0.46)), (1.5, 1.2), 0.9
        ),
        textured("Cream plaster", textures.plaster(rng, 512, (0.80, 0.74, 0.62), 0.22), 3.0, 0.9),
        textured("Blue plaster", textures.plaster(rng, 512, (0.52, 0.60, 0.66), 0.25), 3.0, 0.9),
        textured(
            "Dark brick",
            textures.bricks(rng, dark=(0.24, 0.15, 0.13), light=(0.42, 0.30, 0.26), mortar=(0.5, 0.48, 0.45)),
            (1.5, 1.2),
            0.9,
        ),
        textured("White plaster", textures.plaster(rng, 512, (0.86, 0.85, 0.82), 0.15), 3.0, 0.9),
    ]
    trim = textured("Trim", textures.plaster(rng, 256, (0.82, 0.81, 0.77), 0.2), 0.9, 0.8)
    pane = plain("Pane", (0.035, 0.045, 0.055), 0.04, specular=0.8)
    blind = textured("Blind", textures.fabric(rng, (0.66, 0.62, 0.52), (0.5, 0.46, 0.4), stripes=14), 0.8, 0.9)
    order = {-1: [0, 2, 4, 3, 1, 5, 0, 3], 1: [5, 1, 3, 0, 2, 4, 1, 5]}
    for side in (-1, 1):
        y = -9.0 + 2.0 * (side > 0)
        for k in order[side]:
            width = rng.uniform(6.0, 9.0)
            floors = int(rng.integers(2, 5))
            front(rng, side, y, width, floors, kinds[k], trim, pane, blind)
            y += width
    box("End house", (22, 6, 12), (0, 66, 0), kinds[4])
    for x in np.arange(-9, 10, 2.4):
        for z in (1.6, 5.0, 8.4):
            box("End window", (1.2, 0.1, 1.7), (x, 62.98, z), pane)
            box("End sill", (1.5, 0.2, 0.15), (x, 62.95, z - 0.15), trim)


def front(rng, side, y, width, floors, wall, trim, pane, blind) -> None:
    """One house front at the pavement: shop or door below, rows of windows above, cornice."""
    face, height = side * 7.35, 3.4 + 3.0 * (floors - 1)
    box("House", (5.0, width, height), (face + side * 2.5, y + width / 2, 0), wall)
    box("Cornice", (0.5, width, 0.3), (face - side * 0.1, y + width / 2, height - 0.3), trim)
    box("Band", (0.16, width, 0.2), (face - side * 0.03, y + width / 2, 3.2), trim)
    if rng.random() < 0.55:
        shop(rng, side, face, y, width, trim, pane)
    else:
        colour = textures.muted(rng, 0.08, 0.4)
        door = textured("Door", textures.wood(rng, dark=colour * 0.7, light=colour * 1.15), 0.8, 0.5)
        box("Door frame", (0.16, 1.25, 2.5), (face - side * 0.02, y + 1.3, 0.1), trim)
        box("Door", (0.16, 1.0, 2.3), (face - side * 0.05, y + 1.3, 0.1), door, fit=True)
        window_row(rng, side, face, np.arange(y + 3.2, y + width - 0.8, 2.1), 1.1, trim, pane, blind)
    for floor in range(1, floors):
        window_row(rng, side, face, np.arange(y + 1.2, y + width - 0.7, 1.9), 1.2 + 3.0 * floor, trim, pane, blind)


def window_row(rng, side, face, along, z, trim, pane, blind) -> None:
    """Windows at the positions ``along`` y: frame, glazing bars, glass, sometimes a blind."""
    for y in along:
        box("Window frame", (0.12, 1.15, 1.65), (face - side * 0.03, y, z), trim)
        box("Glass", (0.12, 0.95, 1.45), (face - side * 0.04, y, z + 0.1), pane)
        if rng.random() < 0.4:
            drop = rng.uniform(0.4, 1.3)
            box("Blind", (0.12, 0.95, drop), (face - side * 0.043, y, z + 1.55 - drop), blind)
        box("Bar", (0.13, 0.05, 1.45), (face - side * 0.045, y, z + 0.1), trim)
        box("Bar", (0.13, 0.95, 0.05), (face - side * 0.045, y, z + 1.0), trim)
        box("Sill", (0.3, 1.35, 0.09), (face - side * 0.08, y, z - 0.09), trim)


def shop(rng, side, face, y, width, trim, pane) -> None:
    """Shop window with a lettered sign, posters and an awning."""
    sign = np.ones((128, 1024, 3), np.float32) * textures.muted(rng, 0.08, 0.4)
    textures.glyph_line(sign, rng, 120, 900, 24, 80, (0.92, 0.88, 0.74))
    board = textured("Sign", sign, (width - 0.6, 0.7), 0.6)
    y0, y1 = (y + width - 0.3, y + 0.3) if side > 0 else (y + 0.3, y + width - 0.3)
    box("Sign box", (0.2, width - 0.5, 0.74), (face - side * 0.04, y + width / 2, 2.45), trim)
    sheet("Sign", (face - side * 0.15, y0, 2.47), (0, y1 - y0, 0), (0, 0, 0.7), board, fit=True)
    box("Shop frame", (0.14, width - 1.0, 1.95), (face - side * 0.02, y + width / 2, 0.45), trim)
    for k in range(3):
        w = (width - 1.2) / 3
        box("Shop glass", (0.14, w - 0.12, 1.75), (face - side * 0.04, y + 0.6 + w * (k + 0.5), 0.55), pane)
    for _ in range(3):
        bill = textured("Bill", textures.poster(rng), (0.5, 0.7), 0.7)
        at, step = y + rng.uniform(0.7, width - 1.3), -0.5 if side > 0 else 0.5
        sheet("Bill", (face - side * 0.12, at, 0.8 + rng.uniform(0, 0.5)), (0, step, 0), (0, 0, 0.7), bill, fit=True)
    if rng.random() < 0.6:
        cloth = textured(
            "Awning", textures.fabric(rng, (0.82, 0.80, 0.74), textures.muted(rng, 0.1, 0.45), stripes=4), 1.6, 0.9
        )
        sheet("Awning", (face - side * 0.1, y + 0.4, 2.5), (0, width - 0.8, 0), (-side * 1.2, 0, -0.45), cloth)


def furniture(rng) -> None:
    """Trees, lamp posts, bollards, signs, bins, a post box."""
    bark = textured("Bark", textures.bark(rng), 0.7, 0.95)
    green = textured("Leaves", textures.leaves(rng), 1.0, 0.9)
    steel = plain("Grey steel", (0.12, 0.13, 0.13), 0.45, metallic=0.5)
    for x, y in (
        (-4.1, 9.0),
        (-4.1, 17.5),
        (-4.1, 27.0),
        (4.3, 18.5),
        (4.3, 30.0),
        (-4.1, 1.5),
        (4.3, 41.0),
        (-4.1, 38.0),
    ):
        lathe("Trunk", [(0.2, 0), (0.15, 0.4), (0.12, 2.6), (0.06, 4.6)], bark, (x, y, 0.1), 12)
        blobs = rng.normal(0, 0.75, (6, 3)) * [1, 1, 0.6] + [x, y, 4.6]
        foliage("Crown", green, blobs, np.full((6, 3), 0.95), 1100, 0.17, rng)
    for x, y in ((4.1, 11.2), (-3.8, 22.5), (4.1, 26.0)):
        lathe("Lamp post", [(0.11, 0), (0.09, 0.8), (0.055, 0.9), (0.045, 5.2)], steel, (x, y, 0.12), 12)
        box("Lamp head", (0.7, 0.22, 0.12), (x - 0.35 * np.sign(x), y, 5.25), steel, bevel=0.03)
    white, red = plain("Sign white", (0.8, 0.8, 0.8), 0.5), plain("Sign red", (0.6, 0.03, 0.03), 0.5)
    for y in np.arange(3.2, 9.0, 1.4):
        lathe(
            "Bollard",
            [(0.07, 0), (0.07, 0.72), (0.085, 0.74), (0.085, 0.8), (0.04, 0.9), (0.001, 0.92)],
            steel,
            (3.62, y, 0.12),
            14,
        )
        lathe("Bollard ring", [(0.074, 0), (0.074, 0.1)], white, (3.62, y, 0.66), 14)
    for x, y in ((3.75, 13.5), (-3.7, 14.5)):
        lathe("Sign post", [(0.03, 0), (0.03, 2.6)], steel, (x, y, 0.12), 10)
        for radius, colour, off in ((0.32, red, 0.0), (0.25, white, 0.012)):
            disc = lathe(
                "Sign disc",
                [(0.001, 0), (radius, 0), (radius, 0.02), (0.001, 0.02)],
                colour,
                (x, y - 0.04 - off, 2.45),
                28,
            )
            disc.rotation_euler = (np.pi / 2, 0, 0)
    wrap = textured("Pillar bills", np.concatenate([textures.poster(rng) for _ in range(5)], axis=1), (3.5, 1.6), 0.8)
    lathe("Pillar", [(0.56, 0), (0.56, 2.3)], wrap, (5.7, 7.4, 0.3), 32)
    lathe("Pillar foot", [(0.62, 0), (0.62, 0.22)], steel, (5.7, 7.4, 0.12), 32)
    lathe("Pillar roof", [(0.68, 0), (0.66, 0.12), (0.3, 0.35), (0.001, 0.5)], steel, (5.7, 7.4, 2.6), 32)
    carton = [textured(f"Street carton {k}", textures.label(rng), 0.6, 0.9) for k in range(2)]
    box("Carton", (0.6, 0.5, 0.45), (6.6, 3.8, 0.12), carton[0], 14, fit=True)
    box("Carton", (0.5, 0.45, 0.4), (6.55, 3.85, 0.57), carton[1], -8, fit=True)
    box("Carton", (0.5, 0.45, 0.5), (6.5, 4.7, 0.12), carton[1], 30, fit=True)
    box("Bin", (0.6, 0.7, 1.05), (-6.4, 8.2, 0.12), plain("Bin green", (0.03, 0.1, 0.05), 0.5), bevel=0.05)
    box("Post box", (0.45, 0.4, 1.3), (-6.5, 14.0, 0.12), red, bevel=0.06)


def car(name, paint_colour, group=MOVERS, van=False):
    """Car of about 4.2 m that heads to +y at turn 0; returns the body that carries all parts."""
    paint = plain(f"{name} paint", paint_colour, 0.22, specular=0.6)
    glass = plain(f"{name} glass", (0.015, 0.02, 0.022), 0.05, specular=0.8)
    black = plain(f"{name} black", (0.018, 0.018, 0.02), 0.6)
    rim = plain(f"{name} rim", (0.45, 0.45, 0.46), 0.3, metallic=0.8)
    body = box(f"{name} body", (1.74, 4.2, 0.52), (0, 0, 0.3), paint, group=group, bevel=0.12, taper=(0.94, 0.985))
    roof, back = (1.95, 0.9) if van else (1.42, -0.22)
    length, slant = (3.3, 0.86) if van else (2.5, 0.62)
    parts = [
        box(
            f"{name} cabin",
            (1.58, length, roof - 0.8),
            (0, -0.45 if van else back, 0.5),
            glass,
            group=group,
            bevel=0.07,
            taper=(0.82, slant),
        ),
        box(
            f"{name} roof",
            (1.58 * 0.84, length * (slant + 0.02), 0.06),
            (0, -0.45 if van else back, roof - 0.33),
            paint,
            group=group,
            bevel=0.03,
        ),
        box(f"{name} sill", (1.66, 3.4, 0.2), (0, 0, -0.12), black, group=group, bevel=0.03),
        box(f"{name} front bumper", (1.62, 0.2, 0.24), (0, 2.05, -0.02), black, group=group, bevel=0.06),
        box(f"{name} rear bumper", (1.62, 0.2, 0.24), (0, -2.05, -0.02), black, group=group, bevel=0.06),
    ]
    if van:
        parts.append(
            box(
                f"{name} side",
                (1.6, 2.0, roof - 0.86),
                (0, -1.02, 0.5),
                paint,
                group=group,
                bevel=0.06,
                taper=(0.86, 0.97),
            )
        )
    plate = np.full((32, 128, 3), 0.88, np.float32)
    textures.glyph_line(plate, np.random.default_rng(len(name)), 10, 124, 6, 20, (0.05, 0.05, 0.08))
    number = textured(f"{name} plate", plate, (0.5, 0.12), 0.6)
    for y, colour in ((2.13, (0.9, 0.88, 0.8)), (-2.13, (0.5, 0.02, 0.02))):
        lamp = plain(f"{name} lamp", colour, 0.2, specular=0.7)
        for x in (-0.62, 0.62):
            parts.append(
                box(f"{name} lamp", (0.34, 0.06, 0.15), (x, y - 0.03 * np.sign(y), 0.22), lamp, group=group, bevel=0.02)
            )
        step = -0.5 if y > 0 else 0.5
        parts.append(
            sheet(
                f"{name} plate",
                (-step / 2, y + 0.03 * np.sign(y), 0.06),
                (step, 0, 0),
                (0, 0, 0.12),
                number,
                group=group,
                fit=True,
            )
        )
    for x in (-0.86, 0.86):
        parts.append(box(f"{name} mirror", (0.2, 0.1, 0.14), (x * 1.06, 0.75, 0.5), paint, group=group, bevel=0.03))
        for y in (-1.3, 1.3):
            for radius, wide, material in ((0.32, 0.2, black), (0.19, 0.215, rim)):
                profile = [(0.001, 0), (radius, 0), (radius, wide), (0.001, wide)]
                wheel = lathe(f"{name} wheel", profile, material, segments=22, group=group)
                wheel.rotation_euler = (0, np.pi / 2, 0)
                wheel.location = (x - wide / 2, y, 0.02)
                parts.append(wheel)
    for part in parts:
        part.parent = body
    # Keys and placement set the location on the road; the body's own origin is its underside.
    body.delta_location = (0, 0, 0.3)
    return body


def drive(body, start, end, count) -> None:
    """Drive a car body from ``start`` to ``end`` (2,) at constant speed."""
    s = np.arange(-1, count + 1)[:, None] / (count - 1)
    at = np.asarray(start, float) + s * (np.asarray(end, float) - np.asarray(start, float))
    step = np.asarray(end, float) - np.asarray(start, float)
    heading = np.arctan2(-step[0], step[1])
    key_matrices(body, np.stack([turn_z(heading, (x, y, 0.0)) for x, y in at]), -1)


def clothe_walker(
    rng, gait, name="Walker", base=(0.72, 0.62, 0.28), accent=(0.2, 0.24, 0.34), pattern="stripes", backpack=True
) -> None:
    """The person of the clips."""
    shirt = textured(f"{name} shirt", textures.fabric(rng, base, accent, stripes=7, pattern=pattern), 0.5, 0.9)
    denim = textured(
        f"{name} denim", textures.fabric(rng, (0.16, 0.22, 0.34), (0.13, 0.18, 0.29), stripes=60), 0.3, 0.9
    )
    skin = textured(f"{name} skin", textures.plaster(rng, 128, (0.72, 0.52, 0.42), 0.15), 0.3, 0.75)
    hair = textured(
        f"{name} hair",
        textures.tinted(textures.cloud(128, 0.8, rng, 0.2), (0.08, 0.05, 0.03), (0.28, 0.18, 0.1)),
        0.2,
        0.9,
    )
    shoe = plain(f"{name} shoe", (0.65, 0.63, 0.6), 0.6)
    pack = textured(
        f"{name} pack", textures.fabric(rng, (0.42, 0.14, 0.12), (0.3, 0.1, 0.1), stripes=9, pattern="checks"), 0.4, 0.9
    )
    person(name, shirt, denim, skin, hair, shoe, gait, backpack=pack if backpack else None)
