"""A jointed person of primitives, keyed by forward kinematics. It faces -y at heading 0."""

from dataclasses import dataclass

import numpy as np
from mathutils import Matrix
from rig import key_matrices, turn_x, turn_y, turn_z
from shapes import MOVERS, box, capsule, lathe, placed

THIGH, SHIN, UPPER_ARM, FOREARM, SOLE = 0.43, 0.42, 0.30, 0.27, 0.09


@dataclass(frozen=True)
class Gait:
    """Motion of a figure, one row a frame: ground position (N, 2), heading and step phase in radians.

    ``arm_lift`` (N,) raises the arms sideways from 0 (hanging) to 1 (overhead); ``stride`` is the hip swing.
    """

    position: np.ndarray
    heading: np.ndarray
    phase: np.ndarray
    stride: float = 0.43
    arm_lift: np.ndarray | None = None


def person(name, shirt, trousers, skin, hair, shoe, gait: Gait, height=1.0, backpack=None) -> None:
    """Build and key a person; materials are Blender materials, ``height`` scales 1.75 m."""
    parts = {
        "torso": lathe(f"{name} torso", torso_profile(), shirt, group=MOVERS, flatten=0.62),
        "hips": lathe(
            f"{name} hips",
            [(0.10, -0.10), (0.165, -0.04), (0.165, 0.06), (0.13, 0.1)],
            trousers,
            group=MOVERS,
            flatten=0.72,
        ),
        "head": lathe(f"{name} head", head_profile(), skin, group=MOVERS, flatten=1.1),
        "hair": lathe(
            f"{name} hair",
            [(0.107, 0.18), (0.115, 0.21), (0.10, 0.258), (0.05, 0.287), (0.001, 0.292)],
            hair,
            group=MOVERS,
            flatten=1.12,
        ),
    }
    for side, x in (("left", 0.042), ("right", -0.042)):
        parts[f"eye {side}"] = lathe(
            f"{name} eye", [(0.001, 0.15), (0.016, 0.157), (0.001, 0.164)], hair, group=MOVERS, flatten=0.7
        )
        parts[f"eye {side}"].data.transform(Matrix.Translation((x, -0.106, 0)))
        parts[f"thigh {side}"] = lathe(f"{name} thigh {side}", capsule(THIGH, 0.09, 0.065), trousers, group=MOVERS)
        parts[f"shin {side}"] = lathe(f"{name} shin {side}", capsule(SHIN, 0.065, 0.045), trousers, group=MOVERS)
        parts[f"upper {side}"] = lathe(f"{name} upper {side}", capsule(UPPER_ARM, 0.058, 0.045), shirt, group=MOVERS)
        parts[f"fore {side}"] = lathe(f"{name} fore {side}", capsule(FOREARM, 0.043, 0.033), skin, group=MOVERS)
        parts[f"hand {side}"] = lathe(
            f"{name} hand {side}", capsule(0.08, 0.037, 0.035), skin, group=MOVERS, flatten=0.6
        )
        parts[f"foot {side}"] = placed(
            box(f"{name} foot {side}", (0.095, 0.27, SOLE), (0, 0, 0), shoe, group=MOVERS, bevel=0.03)
        )
    parts["nose"] = box(
        f"{name} nose", (0.028, 0.04, 0.05), (0, 0, 0), skin, group=MOVERS, bevel=0.01, taper=(0.6, 0.4)
    )
    parts["nose"].data.transform(Matrix.Translation((0, -0.118, 0.10)))
    if backpack is not None:
        parts["pack"] = box(f"{name} pack", (0.30, 0.16, 0.42), (0, 0, 0), backpack, group=MOVERS, bevel=0.05)
    frames = [skeleton(gait, i, height) for i in range(len(gait.phase))]
    for key, part in parts.items():
        key_matrices(part, np.stack([frame[key] for frame in frames]), first_frame=-1)


def torso_profile():
    """Radius and height above the hips, waist to neck."""
    return [(0.14, 0.0), (0.155, 0.1), (0.18, 0.3), (0.195, 0.42), (0.165, 0.49), (0.07, 0.53), (0.06, 0.6)]


def head_profile():
    """Radius and height above the neck."""
    return [(0.03, 0.0), (0.075, 0.03), (0.098, 0.09), (0.108, 0.16), (0.10, 0.22), (0.06, 0.265), (0.001, 0.28)]


def skeleton(gait: Gait, i: int, height: float) -> dict[str, np.ndarray]:
    """World matrices (4, 4) of all parts in row ``i``; the lower sole touches the ground."""
    phase = gait.phase[i]
    lift = 0.0 if gait.arm_lift is None else gait.arm_lift[i]
    sway = 0.06 * np.sin(phase)
    hips = turn_z(0.12 * np.sin(phase)) @ turn_y(0.03 * np.cos(phase))
    torso = turn_z(-sway * 2, (0, 0, 0.08)) @ turn_x(0.05) @ turn_y(-0.04 * np.cos(phase))
    pose = {
        "hips": hips,
        "torso": torso,
        "head": torso @ turn_z(sway, (0, -0.01, 0.55)),
        "pack": torso @ turn_z(0, (0, 0.17, 0.06)),
    }
    pose |= dict.fromkeys(("hair", "nose", "eye left", "eye right"), pose["head"])
    lowest = 0.0
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing = gait.stride * np.sin(phase) * sign
        bend = 0.12 + 1.0 * gait.stride * max(0.0, np.cos(phase) * sign) ** 1.5 * 1.4
        thigh = hips @ turn_x(-swing, (0.095 * sign, 0, -0.04))
        shin = thigh @ turn_x(bend, (0, 0, -THIGH))
        foot = shin @ turn_x(swing - bend, (0, -0.06, -SHIN - SOLE))
        pose |= {f"thigh {side}": thigh, f"shin {side}": shin, f"foot {side}": foot}
        lowest = min(lowest, foot[2, 3])
        raised = lift * (2.5 + 0.25 * np.sin(phase * 1.3 + sign))
        upper = torso @ turn_y(-sign * (0.12 + raised), (0.205 * sign, 0, 0.44)) @ turn_x(0.75 * swing * (1 - lift))
        fore = upper @ turn_x(-0.35 - 0.3 * max(0.0, -swing) - 0.6 * lift, (0, 0, -UPPER_ARM))
        pose |= {
            f"upper {side}": upper,
            f"fore {side}": fore,
            f"hand {side}": fore @ turn_z(0, (0, 0, -FOREARM - 0.03)),
        }
    root = turn_z(gait.heading[i], (*gait.position[i], -lowest * height)) @ np.diag([height, height, height, 1.0])
    return {key: root @ matrix for key, matrix in pose.items()}


def walk(start, end, count, speed_factor=1.0, phase=0.0) -> Gait:
    """Straight walk from ``start`` to ``end`` (2,) over ``count`` frames, padded by one frame on both sides."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    s = np.arange(-1, count + 1) / (count - 1)
    position = start + s[:, None] * (end - start)
    step = end - start
    heading = np.full(count + 2, np.arctan2(step[0], -step[1]))
    steps = np.linalg.norm(step) / 0.72 * speed_factor
    return Gait(position, heading, phase + np.pi * steps * s)
