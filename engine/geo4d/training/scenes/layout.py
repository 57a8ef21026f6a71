"""Where things stand: closed rooms, streets, open terrain; and what moves through them."""

from dataclasses import dataclass

import numpy as np

from .objects import TEXTURES, Kit
from .parts import BOX, ELLIPSOID, Group, PartList, PartTable, Surface, Waves
from .people import stander, walker

PLACES = ("room", "street", "terrain")
PLACE_SHARES = (0.5, 0.25, 0.25)
STANDS = 0.35  # of the people outdoors


@dataclass
class Layout:
    """One scene: its parts, light, ground, and where a camera may be."""

    place: str
    parts: PartTable
    waves: Waves | None  # height field, None where the floor is level
    light: np.ndarray  # (3,) position of the lamp or of the (far) sun, metres
    ambient: float  # share of light that comes from everywhere
    camera_box: np.ndarray  # (2, 3) lower and upper corner of where the camera may be
    target: np.ndarray  # (3,) what it looks at, roughly
    scale: float  # metres of a usual distance


def lay_out(rng: np.random.Generator, movers: bool | None = None) -> Layout:
    """A random scene; ``movers`` None: about two of three scenes have some."""
    place = rng.choice(PLACES, p=PLACE_SHARES)
    if movers is None:
        movers = rng.random() < 0.65
    return {"room": _room, "street": _street, "terrain": _terrain}[place](rng, movers)


def _room(rng: np.random.Generator, movers: bool) -> Layout:
    parts = PartList()
    kit = Kit(rng, parts)
    w, d, h = rng.uniform(1.6, 4.5), rng.uniform(2.0, 6.0), rng.uniform(2.2, 3.6)
    # The shell reaches a little below the floor: surfaces in one plane would take turns.
    parts.add(BOX, (w, h / 2 + 0.01, d), (0, 0.01 - h / 2, 0), kit.surface(1.0, 0.55), inside=True)
    target = np.array([rng.uniform(-0.5, 0.5) * w, -rng.uniform(0.2, 1.3), rng.uniform(0.2, 1.0) * d])
    parts.add(BOX, (w, 0.02, d), (0, 0.02, 0), kit.surface(0.8, 0.15))  # a floor of its own look
    if rng.random() < 0.6:  # a wall of another colour, panelled or glazed
        side = rng.choice([-1, 1])
        parts.add(BOX, (0.01, h / 2, d), (side * w, -h / 2, 0), kit.surface(1.0, 0.5))
    for _ in range(rng.integers(1, 6)):
        half = np.array([rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.7), 0.02])
        if rng.random() < 0.5:
            kit.picture((rng.uniform(-w, w) * 0.8, -rng.uniform(0.9, 2.0), d - 0.02), half)
        else:
            kit.picture(
                (rng.choice([-1, 1]) * (w - 0.02), -rng.uniform(0.9, 2.0), rng.uniform(-d, d) * 0.8), half[[2, 1, 0]]
            )
    if rng.random() < 0.45:
        _windows(rng, kit, w, d, h)
    if rng.random() < 0.4:
        _fitted_rows(rng, kit, w, d)
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.5:
            kit.cabinet(rng.uniform(-w, w) * 0.8, d - 0.4, 0.0)
        else:
            kit.cabinet(rng.choice([-1, 1]) * (w - 0.4), rng.uniform(-0.4, 1) * d, np.pi / 2)
    for _ in range(rng.integers(0, 4)):
        kit.table(rng.uniform(-w, w) * 0.6, rng.uniform(-0.3, 0.7) * d)
    for _ in range(rng.integers(0, 4)):
        kit.chair(rng.uniform(-w, w) * 0.7, rng.uniform(-0.4, 0.8) * d)
    for _ in range(rng.integers(3, 13)):
        kit.thing(rng.uniform(-w, w) * 0.85, 0.0, rng.uniform(-0.6, 0.9) * d, rng.uniform(0.08, 0.4))
    for _ in range(rng.integers(0, 4)):  # hanging in mid-air: shape is not to be guessed from what things are
        kit.thing(rng.uniform(-w, w) * 0.8, -rng.uniform(0.8, 2.2), rng.uniform(-0.4, 0.9) * d, rng.uniform(0.05, 0.25))
    if movers:
        for _ in range(rng.integers(1, 4)):
            _indoor_mover(rng, kit, target, w, d)
    eye = rng.uniform(0.7, 1.7)
    box = np.array([[-0.75 * w, -min(eye + 0.4, h - 0.3), -0.92 * d], [0.75 * w, -max(eye - 0.4, 0.35), -0.35 * d]])
    light = np.array([rng.uniform(-0.6, 0.6) * w, -h + 0.25, rng.uniform(-0.6, 0.6) * d])
    return Layout("room", parts.table(), None, light, rng.uniform(0.3, 0.75), box, target, 3.0)


def _windows(rng: np.random.Generator, kit: Kit, w: float, d: float, h: float) -> None:
    """Windows in the wall ahead, in one at the side or in both; some reach from the floor to the ceiling."""
    for wall in rng.choice(3, int(rng.integers(1, 3)), replace=False):
        high = 0.48 * h if rng.random() < 0.4 else rng.uniform(0.3, 0.6)
        middle = -h / 2 if high > 0.4 * h else -rng.uniform(1.2, 1.6)
        wide = rng.uniform(0.4, 0.9) * (w if wall == 0 else d) * rng.uniform(0.4, 1)
        if wall == 0:
            kit.window((rng.uniform(-1, 1) * (w - wide), middle, d - 0.015), (wide, high, 0.01))
        else:
            x = (w - 0.015) * (1 if wall == 1 else -1)
            kit.window((x, middle, rng.uniform(-0.3, 1) * (d - wide)), (0.01, high, wide))


def _fitted_rows(rng: np.random.Generator, kit: Kit, w: float, d: float) -> None:
    """Fitted units along the wall ahead, along one at the side, or round the corner."""
    length = rng.uniform(0.5, 1.0) * 2 * w
    if rng.random() < 0.7:
        kit.counter((-w + rng.uniform(0, 1) * (2 * w - length), d - 0.4), 0.0, length)
    if rng.random() < 0.7:
        side = rng.choice([-1, 1])
        run = rng.uniform(0.4, 0.9) * d
        # A row's fronts look along its own -z: the wall on the left is turned the other way.
        start = (side * (w - 0.4), d - 0.8 if side > 0 else d - 0.8 - run)
        kit.counter(start, np.pi / 2 if side > 0 else -np.pi / 2, run)


def _indoor_mover(rng: np.random.Generator, kit: Kit, target: np.ndarray, w: float, d: float) -> None:
    # Where the camera is likely to look: between its place and its target.
    at = (target * [1, 0, 1] + [0, 0, -0.6 * d]) / 2 + rng.normal(0, [0.25 * w, 0, 0.25 * d])
    at = np.clip(at, [-0.8 * w, 0, -0.4 * d], [0.8 * w, 0, 0.8 * d])
    yaw = rng.uniform(0, 2 * np.pi)
    stride = rng.uniform(0.1, 1.2) * np.array([np.sin(yaw), 0, np.cos(yaw)])
    kind = rng.random()
    if kind < 0.35:
        if rng.random() < 0.7:  # the one the camera is there for, from head to foot
            at = np.clip(target * [1, 0, 1] + rng.normal(0, [0.4, 0, 0.4]), [-0.8 * w, 0, 0], [0.8 * w, 0, 0.85 * d])
        stander(kit, at, yaw)
    elif kind < 0.7:
        walks = rng.random() < 0.6
        sway = rng.uniform(-0.15, 0.15, 3) * [1, 0, 1]
        group = Group(at, yaw, stride if walks else np.zeros(3), 0.0 if walks else rng.uniform(-1, 1), sway)
        group.hop = rng.uniform(0.05, 0.25) if rng.random() < 0.15 else 0.0
        walker(kit, group, rng.uniform(0.3, 1.0))
    else:
        kit.toy(Group(at, yaw, stride * rng.uniform(0.3, 1), rng.uniform(-1, 1)), rng.uniform(0.1, 0.5))


def _sky(rng: np.random.Generator, parts: PartList, radius: float) -> None:
    grey = Surface(int(rng.integers(TEXTURES)), radius * rng.uniform(0.5, 2), rng.uniform(0, 0.3), 1.0, glow=1.0)
    parts.add(ELLIPSOID, (radius, radius * 0.6, radius), (0, 0, 0), grey, inside=True)


def _street(rng: np.random.Generator, movers: bool) -> Layout:
    parts = PartList()
    kit = Kit(rng, parts)
    half_width, length = rng.uniform(5, 11), rng.uniform(25, 70)
    _sky(rng, parts, 3.0 * length)
    parts.add(BOX, (4 * length, 0.5, 4 * length), (0, 0.5, 0), kit.surface(1.5, 0.15))  # asphalt
    kerb = kit.surface(1.0, 0.2)
    for side in (-1, 1):
        parts.add(BOX, (2.0, 0.06, length), (side * (half_width - 2.0), -0.06, length / 2), kerb)
        z = -8.0
        while z < length:
            depth, height = rng.uniform(2.5, 8), rng.uniform(3, 14)
            if rng.random() < 0.9:
                x = side * (half_width + 4 + rng.uniform(-0.3, 0.6))
                parts.add(BOX, (4, height / 2, depth), (x, -height / 2, z + depth), kit.surface(3.0, 0.15))
                if rng.random() < 0.3:  # a shop's front
                    pane = kit.gloss(1.0, 0.05, 0.4)
                    parts.add(BOX, (4.05, 1.2, depth * rng.uniform(0.4, 0.9)), (x, -1.5, z + depth), pane)
                if rng.random() < 0.5:  # bay, balcony or awning
                    y, out = -rng.uniform(2.2, height), side * rng.uniform(0.3, 1.2)
                    parts.add(BOX, (0.8, 0.15, depth * 0.6), (x - side * 4 - out * 0.2, y, z + depth), kit.surface(1.0))
            z += 2 * depth
    end = rng.uniform(4, 12)
    parts.add(BOX, (half_width * 3, end / 2, 3), (0, -end / 2, length + 4), kit.surface(3.0, 0.2))
    for _ in range(rng.integers(3, 12)):
        side = rng.choice([-1, 1])
        kit.post(
            side * (half_width - rng.uniform(0.4, 3.8)), rng.uniform(2, 0.7 * length), rng.choice([0.9, 1.1, 4.0, 6.0])
        )
    for _ in range(rng.integers(0, 4)):
        kit.tree(rng.choice([-1, 1]) * (half_width - 1.5), rng.uniform(5, 0.8 * length), 1.5)
    lanes = (half_width - 5.2, half_width - 6.8)
    if rng.random() < 0.5:  # parked in rows
        for side in (-1, 1)[: int(rng.integers(1, 3))]:
            for z in np.arange(rng.uniform(2, 8), 0.7 * length, rng.uniform(5.5, 9))[:6]:
                kit.car(Group(np.array([side * max(lanes[0], 1.0), 0.0, z]), rng.choice([0, np.pi])))
    else:
        for _ in range(rng.integers(1, 5)):
            x = rng.choice([-1, 1]) * max(lanes[0], 1.0)
            kit.car(Group(np.array([x, 0.0, rng.uniform(4, 0.8 * length)]), rng.choice([0, np.pi])))
    if movers:
        for _ in range(rng.integers(1, 4)):
            way = rng.choice([-1.0, 1.0])
            if rng.random() < 0.5:
                at = np.array([rng.uniform(-0.4, 0.4) * half_width, 0.0, rng.uniform(6, 0.6 * length)])
                speed = way * rng.uniform(0.5, 8)
                kit.car(Group(at, 0.0 if way > 0 else np.pi, np.array([rng.uniform(-0.3, 0.3), 0, speed])))
            else:
                far = rng.uniform(3.0, 14)
                at = np.array([rng.uniform(-0.45, 0.45) * far, 0.0, far])
                yaw = rng.uniform(0, 2 * np.pi)
                walk = rng.uniform(0.6, 1.8) * np.array([np.sin(yaw), 0, np.cos(yaw)])
                if rng.random() < STANDS:
                    stander(kit, at, yaw)
                else:
                    walker(kit, Group(at, yaw, walk), rng.uniform(0.3, 0.7))
    box = np.array([[-0.7 * half_width, -2.2, -4.0], [0.7 * half_width, -1.0, 2.0]])
    target = np.array([rng.uniform(-0.4, 0.4) * half_width, -rng.uniform(0.5, 2.5), rng.uniform(12, 30)])
    sun = 500 * np.array([rng.uniform(-1, 1), -rng.uniform(0.5, 1.5), rng.uniform(-1, 1)])
    return Layout("street", parts.table(), None, sun, rng.uniform(0.3, 0.8), box, target, 10.0)


def _terrain(rng: np.random.Generator, movers: bool) -> Layout:
    parts = PartList()
    kit = Kit(rng, parts)
    reach = rng.uniform(15, 50)
    count = int(rng.integers(4, 9))
    length = np.exp(rng.uniform(np.log(1.5), np.log(reach), count))
    direction = rng.uniform(0, 2 * np.pi, count)
    wave = 2 * np.pi / length[:, None] * np.stack([np.cos(direction), np.sin(direction)], -1)
    rough = rng.uniform(0.002, 0.03)
    waves = Waves(rough * length, wave, rng.uniform(0, 2 * np.pi, count))
    _sky(rng, parts, 4 * reach)
    for _ in range(rng.integers(4, 10)):  # finite background: hills and blocks all round
        angle, far = rng.uniform(-1.4, 1.4), reach * rng.uniform(1.2, 2.5)
        half = reach * rng.uniform([0.3, 0.08, 0.2], [1.0, 0.4, 0.6])
        at = (far * np.sin(angle), 0.0, far * np.cos(angle))
        parts.add(int(rng.choice([BOX, ELLIPSOID])), half, at, kit.surface(0.3 * reach, 0.1), yaw=rng.uniform(0, 3))

    def on_ground(x, z):
        return float(waves(np.array(x), np.array(z)))

    floor = on_ground(0.0, 0.0)
    target = np.array([rng.uniform(-3, 3), floor - rng.uniform(0, 1.5), rng.uniform(5, 14)])
    for _ in range(rng.integers(2, 8)):
        kit.tree(rng.uniform(-0.7, 0.7) * reach, rng.uniform(0.12, 1.0) * reach, rng.uniform(0.6, 2))
    for _ in range(rng.integers(4, 16)):  # rocks, huts, crates
        x, z, r = rng.uniform(-0.5, 0.5) * reach, rng.uniform(0.08, 0.9) * reach, np.exp(rng.uniform(-1.8, 0.6))
        kit.thing(x, on_ground(x, z) + 0.15 * r, z, r)
    for _ in range(rng.integers(0, 4)):
        kit.post(rng.uniform(-0.3, 0.3) * reach, rng.uniform(0.1, 0.7) * reach, rng.uniform(1, 4))
    if movers:
        for _ in range(rng.integers(1, 4)):
            yaw = rng.uniform(0, 2 * np.pi)
            walk = rng.uniform(0.2, 2.5) * np.array([np.sin(yaw), 0, np.cos(yaw)])
            near = rng.uniform(2.5, 9)
            side = target[0] * near / target[2] + rng.uniform(-0.3, 0.3) * near
            at = np.array([side, 0.0, near])
            if rng.random() > 0.6:
                kit.toy(Group(at, yaw, walk), rng.uniform(0.2, 0.8))
            elif rng.random() < STANDS:
                stander(kit, at, yaw)
            else:
                walker(kit, Group(at, yaw, walk), rng.uniform(0.3, 1.0))
    high = 1.6 if rng.random() < 0.7 else rng.uniform(2, 12)
    box = np.array([[-3.0, floor - high - 0.5, -3.0], [3.0, floor - high, 0.0]])
    sun = 500 * np.array([rng.uniform(-1, 1), -rng.uniform(0.5, 1.5), rng.uniform(-1, 1)])
    return Layout("terrain", parts.table(waves), waves, sun, rng.uniform(0.3, 0.8), box, target, 7.0)
