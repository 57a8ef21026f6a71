"""Things that scenes are furnished with, built of parts: furniture, clutter, trees, cars."""

import numpy as np

from .parts import BOX, CYLINDER, ELLIPSOID, Group, PartList, Surface

TEXTURES = 28  # of every scene's atlas


class Kit:
    """Random surfaces and objects for one scene."""

    def __init__(self, rng: np.random.Generator, parts: PartList):
        self.rng = rng
        self.parts = parts
        self.plainness = rng.uniform(0.2, 1.2)  # some worlds are richer than others

    def surface(self, size_m: float = 1.0, plain: float = 0.35) -> Surface:
        """A random look for something about ``size_m`` large; plain with probability ``plain``."""
        rng = self.rng
        shiny = rng.random() < 0.3
        polished = shiny and rng.random() < 0.4
        return Surface(
            texture=int(rng.integers(TEXTURES)),
            tile=float(size_m * np.exp(rng.uniform(-1.2, 0.9))),
            contrast=float(rng.uniform(0.0, 0.12) if rng.random() < plain * self.plainness else rng.uniform(0.35, 1.1)),
            gain=float(rng.uniform(0.5, 1.2)),
            specular=float(rng.uniform(0.1, 0.8) if shiny else 0.0),
            shininess=float(np.exp(rng.uniform(1.5, 5.0))),
            mirror=float(rng.uniform(0.02, 0.3)) if polished else 0.0,
        )

    def gloss(self, size_m: float, least: float, most: float) -> Surface:
        """A plain, polished look: lacquer, glass, stone."""
        rng = self.rng
        look = self.surface(size_m)
        look.contrast = float(rng.uniform(0.0, 0.15))
        look.specular, look.shininess = float(rng.uniform(0.2, 0.9)), float(np.exp(rng.uniform(3.0, 5.5)))
        look.mirror = float(rng.uniform(least, most))
        return look

    def table(self, x: float, z: float) -> None:
        """Table or desk with legs, things on it, perhaps chairs."""
        rng, yaw = self.rng, self.rng.uniform(0, np.pi)
        w, d, h = rng.uniform(0.4, 1.0), rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.8)
        g = self.parts.group(Group(np.array([x, 0.0, z]), yaw))
        wood = self.surface(0.6)
        self.parts.add(BOX, (w, 0.025, d), (0, -h, 0), wood, group=g)
        for sx in (-1, 1):
            for sz in (-1, 1):
                leg = (sx * (w - 0.06), -h / 2, sz * (d - 0.06))
                self.parts.add(BOX, (0.03, h / 2, 0.03), leg, wood, group=g)
        for _ in range(rng.integers(1, 4)):
            self.thing(rng.uniform(-w, w) * 0.8, -h - 0.025, rng.uniform(-d, d) * 0.8, rng.uniform(0.04, 0.16), group=g)

    def chair(self, x: float, z: float) -> None:
        """Chair with an open or closed back."""
        rng = self.rng
        g = self.parts.group(Group(np.array([x, 0.0, z]), rng.uniform(0, 2 * np.pi)))
        look = self.surface(0.4, 0.6)
        self.parts.add(BOX, (0.22, 0.03, 0.22), (0, -0.45, 0), look, group=g)
        for sx in (-0.19, 0.19):
            self.parts.add(BOX, (0.02, 0.23, 0.02), (sx, -0.23, 0.19), look, group=g)
            self.parts.add(BOX, (0.02, 0.46, 0.02), (sx, -0.46, -0.19), look, group=g)
        if rng.random() < 0.5:
            self.parts.add(BOX, (0.2, 0.16, 0.015), (0, -0.75, -0.2), look, group=g)
        else:
            for y in (-0.62, -0.74, -0.86):
                self.parts.add(BOX, (0.2, 0.03, 0.012), (0, y, -0.2), look, group=g)

    def cabinet(self, x: float, z: float, yaw: float) -> None:
        """Cabinet, shelf or sofa: one or two large boxes, often plain and glossy."""
        rng = self.rng
        w, h, d = rng.uniform(0.3, 1.4), rng.uniform(0.35, 1.1), rng.uniform(0.2, 0.45)
        g = self.parts.group(Group(np.array([x, 0.0, z]), yaw))
        self.parts.add(BOX, (w, h, d), (0, -h, 0), self.surface(0.8, 0.6), group=g)
        if rng.random() < 0.5:
            self.parts.add(BOX, (w * 1.03, 0.02, d * 1.05), (0, -2 * h - 0.02, 0), self.surface(0.5), group=g)
        for _ in range(rng.integers(0, 3)):
            self.thing(
                rng.uniform(-w, w) * 0.8, -2 * h - 0.04, rng.uniform(-d, d) * 0.5, rng.uniform(0.06, 0.2), group=g
            )

    def counter(self, start, yaw: float, length: float) -> None:
        """A fitted row of fronts from ``start`` (x, z) along its own x axis, with a top, often with units above."""
        rng = self.rng
        g = self.parts.group(Group(np.array([start[0], 0.0, start[1]]), yaw))
        deep, high = rng.uniform(0.25, 0.35), rng.uniform(0.4, 0.5)
        fronts = self.gloss(1.0, 0.03, 0.25) if rng.random() < 0.6 else self.surface(1.0, 0.7)
        dark = Surface(fronts.texture, 1.0, 0.1, 0.25 * fronts.gain)
        top = self.gloss(0.5, 0.02, 0.15) if rng.random() < 0.5 else self.surface(0.5, 0.3)
        self.parts.add(BOX, (length / 2, high - 0.06, deep - 0.02), (length / 2, -high - 0.06, 0), dark, group=g)
        self.parts.add(BOX, (length / 2, 0.02, deep + 0.02), (length / 2, -2 * high - 0.02, 0), top, group=g)
        above = rng.random() < 0.5
        wide, handles, x = rng.uniform(0.3, 0.7), rng.random() < 0.6, 0.0
        while x < length - 0.1:
            half = min(wide, length - x) / 2 - 0.004
            at = x + half + 0.004
            self.parts.add(BOX, (half, high - 0.06, 0.02), (at, -high - 0.05, -deep), fronts, group=g)
            if above:
                self.parts.add(BOX, (half, 0.35, 0.17), (at, -1.75, deep - 0.17), fronts, group=g)
            if handles:
                handle = (at, -2 * high + 0.12, -deep - 0.035)
                self.parts.add(BOX, (half * 0.5, 0.012, 0.015), handle, top, group=g)
            x += wide
        for _ in range(rng.integers(1, 6)):
            where = rng.uniform(0.1, length - 0.1), -2 * high - 0.04, rng.uniform(-0.7, 0.7) * deep
            self.thing(*where, rng.uniform(0.05, 0.15), group=g)

    def window(self, centre, half) -> None:
        """A pane (thin along one axis) that looks out on what is far away, and its bars."""
        rng = self.rng
        pane = Surface(int(rng.integers(TEXTURES)), rng.uniform(0.4, 1.5), 1.0, rng.uniform(0.8, 3.0))
        pane.glow = pane.outlook = 1.0
        half = np.asarray(half, float)
        self.parts.add(BOX, half, centre, pane)
        frame = self.surface(0.4, 0.8)
        across, thin = (0, 2) if half[2] < half[0] else (2, 0)
        for share in np.linspace(-1, 1, int(rng.integers(2, 5))):
            at, size = np.array(centre, float), np.array([0.0, half[1], 0.0])
            at[across] += share * half[across]
            size[across], size[thin] = rng.uniform(0.02, 0.06), half[thin] + 0.04
            self.parts.add(BOX, size, at, frame)
        for share in (-1, 1):
            at, size = np.array(centre, float), half.copy()
            at[1] += share * half[1]
            size[1], size[thin] = 0.04, half[thin] + 0.04
            self.parts.add(BOX, size, at, frame)

    def thing(self, x: float, y: float, z: float, r: float, group: int = 0) -> None:
        """One small thing that stands at height y."""
        rng = self.rng
        kind = int(rng.integers(3))
        half = r * np.exp(rng.uniform(-0.7, 0.4, 3))
        self.parts.add(kind, half, (x, y - half[1], z), self.surface(2 * r), group=group, yaw=rng.uniform(0, np.pi))

    def picture(self, centre, half) -> None:
        """A thin box on a wall, or anywhere else."""
        self.parts.add(BOX, half, centre, self.surface(float(max(half)), 0.15))

    def tree(self, x: float, z: float, scale: float = 1.0) -> None:
        """Trunk and a few crowns."""
        rng = self.rng
        h = scale * rng.uniform(1.5, 4.0)
        g = self.parts.group(Group(np.array([x, 0.0, z])))
        self.parts.add(CYLINDER, (0.06 * h, h / 2, 0.06 * h), (0, -h / 2, 0), self.surface(0.5, 0.1), group=g)
        leaves = self.surface(0.6 * h, 0.0)
        many = rng.random() < 0.3  # a crown that one sees through
        for _ in range(rng.integers(8, 16) if many else rng.integers(1, 4)):
            half = h * (rng.uniform(0.06, 0.2, 3) if many else rng.uniform(0.2, 0.45, 3))
            at = np.array([*(rng.uniform(-0.25, 0.25, 2) * h), 0])[[0, 2, 1]]
            self.parts.add(ELLIPSOID, half, at - [0, h * rng.uniform(0.9, 1.3), 0], leaves, group=g)

    def post(self, x: float, z: float, h: float) -> None:
        """Lamp post, bollard or sign."""
        r = self.rng.uniform(0.03, 0.12)
        g = self.parts.group(Group(np.array([x, 0.0, z])))
        self.parts.add(CYLINDER, (r, h / 2, r), (0, -h / 2, 0), self.surface(0.5, 0.6), group=g)
        if self.rng.random() < 0.4:
            self.parts.add(BOX, (0.3, 0.3, 0.02), (0, -h, 0), self.surface(0.4), group=g, yaw=self.rng.uniform(0, 3))

    def car(self, group: Group) -> None:
        """Car, van or lorry; its z axis is its direction of travel."""
        rng = self.rng
        g = self.parts.group(group)
        w, length, h = rng.uniform(0.8, 1.1), rng.uniform(1.8, 3.0), rng.uniform(0.35, 0.9)
        paint = self.gloss(1.5, 0.02, 0.2) if rng.random() < 0.85 else self.surface(1.5, 0.3)
        glass = Surface(paint.texture, 1.0, 0.05, 0.25, 0.9, 90.0, mirror=rng.uniform(0.1, 0.4))
        self.parts.add(BOX, (w, h / 2, length), (0, -0.3 - h / 2, 0), paint, group=g)
        top = rng.uniform(0.2, 0.7)
        self.parts.add(
            BOX, (w * 0.9, top / 2, length * rng.uniform(0.4, 0.9)), (0, -0.3 - h - top / 2, 0), glass, group=g
        )
        rubber = Surface(paint.texture, 0.3, 0.1, 0.12)
        for z in (-0.62 * length, 0.62 * length):  # one cylinder an axle, lying across the car
            axle = self.parts
            axle.add(CYLINDER, (0.32, w * 1.01, 0.32), (0, -0.32, z), rubber, group=g, yaw=np.pi / 2, tilt=np.pi / 2)

    def toy(self, group: Group, size: float) -> None:
        """A rigid heap of a few shapes that stands on the ground: cart, animal, parcel."""
        rng, g = self.rng, self.parts.group(group)
        base = size * rng.uniform(0.3, 0.8, 3)
        self.parts.add(int(rng.integers(3)), base, (0, -base[1], 0), self.surface(size), group=g)
        for _ in range(rng.integers(0, 4)):
            half = size * rng.uniform(0.12, 0.45, 3)
            at = (rng.uniform(-1, 1) * base[0], -2 * base[1] - 0.6 * half[1], rng.uniform(-1, 1) * base[2])
            self.parts.add(int(rng.integers(3)), half, at, self.surface(size), group=g)
