"""What a scene is made of: one table of parts (boxes, ellipsoids, cylinders) that hang on moving groups.

World: metres, OpenCV axes (x right, y down, z forward), the floor at y = 0 and everything that stands on it at
y < 0.
"""

from dataclasses import astuple, dataclass, field, fields

import numpy as np

BOX, ELLIPSOID, CYLINDER = 0, 1, 2  # a cylinder's axis is its own y
TERRAIN = -1  # index of the part "height field" in maps of parts


@dataclass
class Surface:
    """How a part looks."""

    texture: int = 0  # of the scene's atlas
    tile: float = 1.0  # metres that one repeat of the texture covers
    contrast: float = 1.0  # 0: plain, only the texture's mean colour
    gain: float = 1.0  # brightness
    specular: float = 0.0
    shininess: float = 20.0
    glow: float = 0.0  # share of light of its own (sky, lamps, screens)
    mirror: float = 0.0  # share of light from head-on that it mirrors; more of it at a grazing angle
    outlook: float = 0.0  # 1: a window pane; what is seen through it is far away and keeps its direction


LOOK = {f.name: k for k, f in enumerate(fields(Surface))}  # columns of tables of looks


@dataclass
class Group:
    """A rigid frame of reference that may travel along the ground."""

    position: np.ndarray  # (3,) at time 0
    yaw: float = 0.0  # radians about the vertical
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))  # metres a second
    yaw_rate: float = 0.0
    sway: np.ndarray = field(default_factory=lambda: np.zeros(3))  # metres, amplitude of a slow oscillation
    sway_hz: float = 0.5
    phase: float = 0.0
    hop: float = 0.0  # metres that it leaves the ground, |sin|
    lean: float = 0.0  # radians, amplitude of a swing about its own x axis; what lies at its origin stays in place

    @property
    def moves(self) -> bool:
        return bool(np.any(self.velocity) or self.yaw_rate or np.any(self.sway) or self.hop or self.lean)


class PartList:
    """Parts and groups of one scene while it is being laid out."""

    def __init__(self):
        self.groups: list[Group] = [Group(np.zeros(3))]  # group 0 is the world itself
        self.rows: list[tuple] = []

    def group(self, group: Group) -> int:
        """Add a group; returns its index."""
        self.groups.append(group)
        return len(self.groups) - 1

    def add(
        self, kind, half, centre, surface, *, group=0, yaw=0.0, tilt=0.0, pivot=None, swing=(0, 0, 0), inside=False
    ) -> None:
        """Add a part.

        Parameters
        ----------
        half : (3,) half extents in metres.
        centre : (3,) in the group's axes; with ``pivot`` given, relative to the pivot.
        yaw, tilt : radians of the part itself about its vertical, then about its x axis.
        pivot : (3,) point in the group's axes that the part swings about.
        swing : amplitude in radians, frequency in Hz, phase; about the group's x axis.
        inside : the part is a shell seen from within (a room, the sky).
        """
        pivot = np.zeros(3) if pivot is None else np.asarray(pivot, float)
        self.rows.append((kind, np.asarray(half, float), np.asarray(centre, float), pivot, group, yaw, tilt, swing))
        self.rows[-1] += (surface, inside)

    def table(self, lift=None) -> "PartTable":
        """The finished table; ``lift(x, z)`` is the height y of the ground, None for a level floor."""
        self.rows.sort(key=lambda row: row[0])  # kinds together, the order that rays are cast in
        kind, half, centre, pivot, group, yaw, tilt, swing, surface, inside = zip(*self.rows, strict=True)
        looks = [astuple(s) for s in surface]
        return PartTable(
            kind=np.array(kind),
            half=np.stack(half),
            centre=np.stack(centre),
            pivot=np.stack(pivot),
            group=np.array(group),
            rotation=rotation_y(np.array(yaw)) @ rotation_x(np.array(tilt)),
            swing=np.array(swing, dtype=float),
            look=np.array(looks, dtype=np.float32),
            inside=np.array(inside),
            groups=self.groups,
            lift=lift,
        )


@dataclass
class PartTable:
    """P parts of one scene as arrays, sorted by kind; see :meth:`PartList.add`."""

    kind: np.ndarray  # (P,)
    half: np.ndarray  # (P, 3)
    centre: np.ndarray  # (P, 3)
    pivot: np.ndarray  # (P, 3)
    group: np.ndarray  # (P,)
    rotation: np.ndarray  # (P, 3, 3)
    swing: np.ndarray  # (P, 3)
    look: np.ndarray  # (P, len(LOOK)) float32, the fields of Surface in order
    inside: np.ndarray  # (P,) bool
    groups: list[Group]
    lift: object = None

    @property
    def moves(self) -> np.ndarray:
        """(P,) bool: True for parts that change their place."""
        return np.array([g.moves for g in self.groups])[self.group] | (self.swing[:, 0] != 0)

    def poses(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Part-to-world rotation (T, P, 3, 3) and centre (T, P, 3) at times (T,) in seconds."""
        R_group, at = zip(*(self._group_pose(g, times) for g in self.groups), strict=True)
        R_group, at = np.stack(R_group, 1)[:, self.group], np.stack(at, 1)[:, self.group]  # (T, P, ...)
        angle = self.swing[:, 0] * np.sin(2 * np.pi * self.swing[:, 1] * times[:, None] + self.swing[:, 2])
        R_swing = rotation_x(angle)
        R = R_group @ R_swing @ self.rotation
        offset = self.pivot[None, :, :, None] + R_swing @ self.centre[:, :, None]
        return R, at + (R_group @ offset)[..., 0]

    def _group_pose(self, g: Group, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wave = np.sin(2 * np.pi * g.sway_hz * times + g.phase)
        position = g.position + times[:, None] * g.velocity + wave[:, None] * g.sway
        if self.lift is not None and g is not self.groups[0]:
            position[:, 1] += self.lift(position[:, 0], position[:, 2])
        position[:, 1] -= g.hop * np.abs(np.sin(2 * np.pi * g.sway_hz * times + 1.3 * g.phase))
        turn = rotation_y(g.yaw + g.yaw_rate * times)
        return (turn @ rotation_x(g.lean * wave) if g.lean else turn), position


def rotation_y(angle: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) about y."""
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([c, o, s, o, i, o, -s, o, c], axis=-1).reshape(*np.shape(angle), 3, 3)


def rotation_x(angle: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) about x."""
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([i, o, o, o, c, -s, o, s, c], axis=-1).reshape(*np.shape(angle), 3, 3)


@dataclass
class Waves:
    """A height field ``y = -sum a sin(k . (x, z) + p)`` (y points down)."""

    amplitude: np.ndarray  # (W,) metres
    wave: np.ndarray  # (W, 2) radians a metre
    phase: np.ndarray  # (W,)

    def __call__(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Height y at x, z of any shape."""
        angle = x[..., None] * self.wave[:, 0] + z[..., None] * self.wave[:, 1] + self.phase
        return -(self.amplitude * np.sin(angle)).sum(-1)
