"""How cameras travel: hand-held, dolly, pan, drone, vehicle; some only turn and some stand still."""

from dataclasses import dataclass

import numpy as np

from .layout import Layout
from .parts import Group, PartTable, rotation_x, rotation_y

MOTIONS = ("hand-held", "dolly", "pan", "drone", "vehicle", "rotation", "static")
MOTION_SHARES = (0.3, 0.2, 0.12, 0.11, 0.12, 0.10, 0.05)
COMPANY, COMPANY_SPREAD = 0.4, 0.06  # share of travelling groups that go along with the camera; radians off its way


@dataclass
class CameraPath:
    """A smooth camera as a function of time."""

    motion: str
    start: np.ndarray  # (3,)
    velocity: np.ndarray  # (3,) metres a second
    bend: np.ndarray  # (3,) metres a second squared
    shake: np.ndarray  # (K, 3) metres, amplitudes of K oscillations
    tremble: np.ndarray  # (K, 3) radians, of yaw, pitch and roll
    hz: np.ndarray  # (K,)
    phase: np.ndarray  # (K, 6)
    target: np.ndarray  # (3,) looked at at time 0
    follow: float  # 1 keeps looking at the target, 0 keeps the direction
    turn: np.ndarray  # (3,) radians a second of yaw, pitch and roll
    focal_mm: float  # 35 mm equivalent
    zoom: float  # relative change of focal length a second

    def poses(self, times: np.ndarray) -> np.ndarray:
        """Camera-to-world (T, 4, 4) at times (T,)."""
        t = times[:, None]
        wave = np.sin(2 * np.pi * self.hz * t[..., None] + self.phase.T[None])  # (T, 6, K)
        centre = self.start + t * self.velocity + t * t / 2 * self.bend
        centre = centre + np.einsum("tck,kc->tc", wave[:, :3], self.shake)
        look = self.target - (self.start + self.follow * (centre - self.start))
        angles = t * self.turn + np.einsum("tck,kc->tc", wave[:, 3:], self.tremble)
        forward = look / np.linalg.norm(look, axis=-1, keepdims=True)
        yaw = np.arctan2(forward[:, 0], forward[:, 2]) + angles[:, 0]
        pitch = np.arcsin(np.clip(-forward[:, 1], -1, 1)) + angles[:, 1]
        pose = np.tile(np.eye(4), (len(times), 1, 1))
        pose[:, :3, :3] = _rotation(yaw, pitch, angles[:, 2])
        pose[:, :3, 3] = centre
        return pose

    def focal_px(self, times: np.ndarray, width: int, height: int) -> np.ndarray:
        """Focal length (T,) in pixels; the equivalent refers to a 36 mm wide frame's longer side."""
        return self.focal_mm / 36.0 * max(width, height) * np.exp(self.zoom * times)


def _rotation(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Camera axes in the world (T, 3, 3); positive pitch looks up (towards -y)."""
    c, s, o, i = np.cos(roll), np.sin(roll), np.zeros_like(roll), np.ones_like(roll)
    about_z = np.stack([c, -s, o, s, c, o, o, o, i], -1).reshape(-1, 3, 3)
    return rotation_y(yaw) @ rotation_x(pitch) @ about_z


def random_path(rng: np.random.Generator, layout: Layout, seconds: float, motion: str | None = None) -> CameraPath:
    """A path for a scene; ``motion`` None draws one of MOTIONS."""
    motion = motion or str(rng.choice(MOTIONS, p=MOTION_SHARES))
    start = rng.uniform(*layout.camera_box)
    scale = layout.scale
    heading = layout.target - start
    heading = heading * [1, 0, 1] / np.linalg.norm(heading[[0, 2]])
    right = np.array([heading[2], 0, -heading[0]])
    still = motion in ("rotation", "static")
    count = 4
    hz = np.exp(rng.uniform(np.log(0.15), np.log(2.5), count))
    phase = rng.uniform(0, 2 * np.pi, (count, 6))
    steadiness = {"hand-held": 1.0, "dolly": 0.05, "pan": 0.3, "drone": 0.15, "vehicle": 0.3}.get(motion, 0.0)
    shake = steadiness * scale * rng.normal(0, 0.012, (count, 3)) / hz[:, None]
    tremble = (0.0 if motion == "static" else max(steadiness, 0.2)) * rng.normal(0, 0.006, (count, 3)) / hz[:, None]
    velocity, bend, turn = np.zeros(3), np.zeros(3), np.zeros(3)
    follow = float(rng.choice([0.0, 0.5, 1.0]))
    travel = scale * np.exp(rng.uniform(np.log(0.04), np.log(0.35))) / seconds  # metres a second
    if motion == "hand-held":
        velocity = travel * 0.7 * (rng.normal(size=3) * [0.5, 0.2, 0.3] + rng.normal() * 0.7 * right)
        turn = rng.normal(0, [0.1, 0.05, 0.02]) / seconds
    elif motion == "dolly":
        along = rng.uniform(-1, 1) * heading + rng.choice([-1, 1]) * rng.uniform(0.1, 1) * right
        velocity = travel * along
    elif motion == "pan":
        velocity = 0.5 * travel * rng.choice([-1, 1]) * right
        turn = np.array([rng.uniform(-0.35, 0.35), rng.uniform(-0.08, 0.08), 0]) / seconds
        follow = 0.0
    elif motion == "drone":
        start = start - [0, rng.uniform(0, 0.4) * (scale if layout.place != "room" else 0.8), 0]
        velocity = travel * (
            rng.choice([-1, 1]) * right * rng.uniform(0.3, 1) - np.array([0, rng.uniform(-0.2, 0.4), 0])
        )
        bend, follow = travel / seconds * 0.3 * heading, 1.0
    elif motion == "vehicle":
        velocity = 1.3 * travel * (rng.choice([1, 1, 1, -0.6]) * heading + rng.normal(0, 0.05, 3) * [1, 0.2, 1])
        turn = np.array([rng.normal(0, 0.06), 0, 0]) / seconds
        follow = 0.0
    elif motion == "rotation":
        turn = rng.normal(0, [0.25, 0.08, 0.02]) / seconds
        follow = 0.0
    focal = float(np.exp(rng.uniform(np.log(20), np.log(42 if layout.place == "room" else 60))))
    if rng.random() < 0.12:
        focal = float(rng.uniform(42, 120))
    zoom = float(rng.uniform(-0.25, 0.25) / seconds) if rng.random() < 0.1 and motion != "static" else 0.0
    if still:
        velocity, bend, shake = velocity * 0, bend * 0, shake * 0
    return CameraPath(
        motion, start, velocity, bend, shake, tremble, hz, phase, layout.target, follow, turn, focal, zoom
    )


def keep_company(rng: np.random.Generator, groups: list[Group], way: np.ndarray) -> int:
    """Turn some travelling groups (in place) to where the camera goes, velocity ``way`` (3,), or where it comes from.

    Subjects that are accompanied or met are what cameras film, and parallax alone takes them for static things nearer
    or farther than they are. Returns how many were turned.
    """
    turned = 0
    for group in groups:
        speed = float(np.linalg.norm(group.velocity))
        if not speed or not np.linalg.norm(way[[0, 2]]) or rng.random() > COMPANY:
            continue
        heading = np.arctan2(way[0], way[2]) + rng.choice([0, np.pi]) + rng.normal(0, COMPANY_SPREAD)
        group.velocity = speed * np.array([np.sin(heading), 0.0, np.cos(heading)])
        group.yaw, group.yaw_rate = float(heading), 0.0
        turned += 1
    return turned


def clear_the_way(table: PartTable, centres: np.ndarray, times: np.ndarray, margin: float) -> None:
    """Sink all groups or parts (in place) that come nearer than ``margin`` metres to the camera's centres (T, 3)."""
    R, c = table.poses(times)
    local = np.einsum("tpji,tpj->tpi", R, centres[:, None] - c)
    near = np.all(np.abs(local) < table.half + margin, axis=-1).any(0) & ~table.inside & (table.half.min(-1) < 20)
    near &= ~((table.group == 0) & (table.half.max(-1) > 20))
    hit = np.unique(table.group[near & (table.group > 0)])
    gone = (near & (table.group == 0)) | np.isin(table.group, hit)
    table.half[gone] = 1e-4
    table.pivot[gone] = [0.0, 1e4, 0.0]
