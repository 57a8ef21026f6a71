"""People: some walk on swinging legs, some stand, in any posture, and move from the hips up.

Those who stand are what tells a mover's feet from its mask: their legs rest while the rest of them moves.
"""

from dataclasses import dataclass

import numpy as np

from .objects import TEXTURES, Kit
from .parts import BOX, CYLINDER, ELLIPSOID, Group, PartList, Surface

THIGH, SHIN = 0.44, 0.46  # metres of someone 1.8 m tall
TORSO_HALF, HEAD_HALF = np.array([0.2, 0.34, 0.13]), np.array([0.1, 0.13, 0.11])
FOOT_HALF = np.array([0.05, 0.035, 0.13])


@dataclass
class _Clothes:
    shirt: Surface
    trousers: Surface
    skin: Surface
    shoes: Surface

    @classmethod
    def of(cls, kit: Kit) -> "_Clothes":
        rng = kit.rng
        trousers = kit.surface(0.4, 0.7)
        if rng.random() < 0.4:  # dark trousers
            trousers.gain *= 0.3
        skin = Surface(int(rng.integers(TEXTURES)), 0.3, 0.08, 0.9)
        shoes = skin if rng.random() < 0.2 else Surface(skin.texture, 0.3, 0.1, float(rng.choice([0.1, 0.3, 1.0])))
        return cls(kit.surface(0.4, 0.5), trousers, skin, shoes)


def walker(kit: Kit, group: Group, energy: float) -> None:
    """A figure whose limbs swing by ``energy`` radians as it goes."""
    rng, g, wears = kit.rng, kit.parts.group(group), _Clothes.of(kit)
    s = rng.uniform(0.9, 1.1)
    hz, phase = rng.uniform(0.6, 1.6), rng.uniform(0, 6)
    hip, shoulder = -0.9 * s, -1.42 * s
    kit.parts.add(ELLIPSOID, TORSO_HALF * s, (0, -1.17 * s, 0), wears.shirt, group=g)
    kit.parts.add(ELLIPSOID, HEAD_HALF * s, (0, -1.65 * s, 0), wears.skin, group=g)
    for side in (-1, 1):
        leg = dict(group=g, pivot=(side * 0.1 * s, hip, 0), swing=(energy, hz, phase + side * np.pi / 2))
        arm = dict(group=g, pivot=(side * 0.24 * s, shoulder, 0))
        arm["swing"] = (energy * rng.uniform(0.8, 2.5), hz, phase - side * np.pi / 2)
        kit.parts.add(CYLINDER, np.array([0.075, 0.45, 0.075]) * s, (0, 0.45 * s, 0), wears.trousers, **leg)
        kit.parts.add(BOX, FOOT_HALF * s, (0, 0.87 * s, 0.05), wears.shoes, **leg)
        kit.parts.add(ELLIPSOID, np.array([0.055, 0.33, 0.055]) * s, (0, 0.28 * s, 0), wears.shirt, **arm)


def stander(kit: Kit, at: np.ndarray, yaw: float) -> None:
    """A figure on feet that stay where they are, in any stance; trunk and arms move."""
    rng, wears = kit.rng, _Clothes.of(kit)
    s = rng.uniform(0.9, 1.1)
    hip = (THIGH + SHIN) * s * rng.uniform(0.75, 0.98)
    legs = kit.parts.group(Group(at, yaw))
    for side in (-1, 1):
        foot = np.array([side * rng.uniform(0.08, 0.4), 0.0, rng.uniform(-0.3, 0.3)]) * s
        _leg(kit.parts, legs, np.array([side * 0.1 * s, -hip, 0.0]), foot, s, wears)
    upper = Group(at - [0, hip, 0], yaw, yaw_rate=rng.uniform(-0.8, 0.8), lean=rng.uniform(0.03, 0.5))
    upper.sway_hz, upper.phase = rng.uniform(0.2, 1.0), rng.uniform(0, 6)
    g = kit.parts.group(upper)
    kit.parts.add(ELLIPSOID, TORSO_HALF * s, (0, -0.27 * s, 0), wears.shirt, group=g)
    kit.parts.add(ELLIPSOID, HEAD_HALF * s, (0, -0.75 * s, 0), wears.skin, group=g)
    for side in (-1, 1):
        shoulder = np.array([side * 0.22, -0.5, 0.0]) * s
        moves = dict(group=g, pivot=shoulder, swing=(rng.uniform(0.2, 1.2), rng.uniform(0.3, 1.6), rng.uniform(0, 6)))
        elbow = 0.3 * s * _direction(rng, side)
        hand = elbow + 0.28 * s * _direction(rng, side)
        _limb(kit.parts, np.zeros(3), elbow, 0.055 * s, wears.shirt, **moves)
        _limb(kit.parts, elbow, hand, 0.045 * s, wears.skin, **moves)


def _leg(parts: PartList, group: int, hip: np.ndarray, foot: np.ndarray, s: float, wears: _Clothes) -> None:
    """Thigh and shin with the knee to the front, and a shoe; all in the group's axes, the foot on the ground."""
    ankle = foot - np.array([0, 2 * FOOT_HALF[1] * s, 0])
    way = ankle - hip
    reach = min(float(np.linalg.norm(way)), 0.999 * (THIGH + SHIN) * s)
    along = (reach**2 + (THIGH * s) ** 2 - (SHIN * s) ** 2) / (2 * reach)
    out = np.sqrt(max((THIGH * s) ** 2 - along**2, 0.0))
    way = way / np.linalg.norm(way)
    front = np.array([0, 0, 1.0]) - way[2] * way
    knee = hip + along * way + out * front / np.linalg.norm(front)
    _limb(parts, hip, knee, 0.08 * s, wears.trousers, group=group)
    _limb(parts, knee, ankle, 0.06 * s, wears.trousers, group=group)
    parts.add(BOX, FOOT_HALF * s, foot + np.array([0, -FOOT_HALF[1], 0.06]) * s, wears.shoes, group=group)


def _limb(parts: PartList, a: np.ndarray, b: np.ndarray, radius: float, look: Surface, **where) -> None:
    """An ellipsoid a little longer than the way from ``a`` to ``b``, so that joints close."""
    way = b - a
    length = float(np.linalg.norm(way))
    half = (radius, length / 2 + 0.6 * radius, radius)
    turn, tilt = np.arctan2(way[0], way[2]), np.arccos(np.clip(way[1] / length, -1, 1))
    parts.add(ELLIPSOID, half, (a + b) / 2, look, yaw=turn, tilt=tilt, **where)


def _direction(rng: np.random.Generator, side: int) -> np.ndarray:
    """A unit vector, more often down and outwards than not, where arms point."""
    v = rng.normal([0.5 * side, 0.4, 0.4], 0.7)
    return v / np.linalg.norm(v)
