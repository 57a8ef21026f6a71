"""Clips of procedural scenes with everything that is true about them."""

from dataclasses import astuple, dataclass

import numpy as np
import torch

from . import rays, shading
from .camera_path import clear_the_way, keep_company, random_path
from .film import develop
from .layout import Layout, lay_out
from .objects import Kit
from .parts import BOX, CYLINDER, ELLIPSOID, LOOK, TERRAIN
from .textures import make_atlas, mip_levels

# Moments of one frame's exposure: place within the pixel and time as a share of the shutter. The first is the
# pixel's centre at the frame's own time, the one that the truth is told of.
SAMPLES = ((0.5, 0.5, 0.0), (0.22, 0.7, -0.4), (0.8, 0.78, 0.45), (0.62, 0.2, 0.2), (0.12, 0.22, -0.15))
FARTHEST = 1e4  # parameter of rays that hit nothing
MIRRORED_AT_LEAST = 0.02  # share of light below which no mirrored ray is followed
MIRRORED_LIGHT = 0.7  # share of the lamp's light on what is seen in a mirror; its shadows are not traced
MIRROR_BLUR = 60.0  # of the footprint, over the shininess
RAYS_TIMES_PARTS = {"cpu": 400_000, "cuda": 300_000_000}  # tests in flight


@dataclass
class Clips:
    """B clips of F frames with exact truth, all tensors on one device.

    World in metres, OpenCV axes, floor at y = 0; pixel (0, 0) is the top-left corner. Ray maps follow from ``K``
    and ``c2w`` (:meth:`rays`).
    """

    rgb: torch.Tensor  # (B, F, H, W, 3) uint8
    depth: torch.Tensor  # (B, F, H, W) float32 z-depth
    normals: torch.Tensor  # (B, F, H, W, 3) float32 unit, in camera axes, towards the camera
    points: torch.Tensor  # (B, F, H, W, 3) float32 world
    following: (
        torch.Tensor
    )  # (B, F, H, W, 3) float32 world: where each point is one frame later (scene flow = difference)
    flow: torch.Tensor  # (B, F - 1, H, W, 2) float32 pixels, to the next frame, of the surface point itself
    moving: torch.Tensor  # (B, F, H, W) bool: belongs to something that moves
    sky: torch.Tensor  # (B, F, H, W) bool: the finite dome all round open scenes, and what is seen through windows
    part: torch.Tensor  # (B, F, H, W) int64 which part, TERRAIN for the height field
    c2w: torch.Tensor  # (B, F, 4, 4) float64
    K: torch.Tensor  # (B, F, 3, 3) float64
    to_world: torch.Tensor  # (B, F, P, 3, 4) float32 from each part's unit axes to the world
    times: np.ndarray  # (F,) seconds
    place: list[str]
    motion: list[str]

    def rays(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Ray maps: directions (B, F, H, W, 3) float32 in the world with z = 1 in the camera, origins (B, F, 3)."""
        height, width = self.depth.shape[2:]
        direction = _directions(self.K.flatten(0, 1), self.c2w.flatten(0, 1), width, height, (0.5, 0.5))
        return direction.unflatten(0, self.depth.shape[:2]).unflatten(2, (height, width)), self.c2w[..., :3, 3].float()


def make_clips(
    seeds,
    frames: int = 8,
    height: int = 144,
    width: int = 256,
    fps: float = 12.0,
    device: str = "cpu",
    motion: str | None = None,
    movers: bool | None = None,
    samples: int = 4,
) -> Clips:
    """Clips of the scenes of ``seeds``: the same seed gives the same clip.

    Parameters
    ----------
    fps : frames a second of scene time; a path covers about the same way in a clip whatever its length.
    motion : one of :data:`.camera_path.MOTIONS` for all clips, None draws.
    movers : whether anything moves, None draws.
    samples : rays a pixel, 1 to 5; more than one smooths edges and blurs motion.
    """
    times = np.arange(frames) / fps
    stories = [_Story(int(seed), times, motion, movers, samples, width, height) for seed in seeds]
    return _Stage(stories, times, width, height, samples, torch.device(device)).film()


class _Story:
    """One scene with its camera, evaluated at every instant that is rendered; all on the CPU, from the seed alone."""

    def __init__(self, seed, times, motion, movers, samples, width, height):
        rng = np.random.default_rng([seed, 5])
        self.layout: Layout = lay_out(rng, movers)
        seconds = max(float(times[-1]), 0.3)
        path = random_path(rng, self.layout, seconds, motion)
        table = self.layout.parts
        keep_company(np.random.default_rng([seed, 11]), table.groups, path.velocity)
        centres = path.poses(times)[:, :3, 3]
        if self.layout.waves is not None:  # never under the ground
            gap = (self.layout.waves(centres[:, 0], centres[:, 2]) - centres[:, 1]).min()
            path.start[1] -= max(0.0, 0.5 - gap)
            centres = path.poses(times)[:, :3, 3]
        clear_the_way(table, centres, times, 0.12 * self.layout.scale / 3)
        shutter = rng.uniform(0.0, 0.5) / (1 / (times[1] - times[0]) if len(times) > 1 else 12.0)
        instants = (times[:, None] + np.array([s[2] for s in SAMPLES[:samples]]) * shutter).ravel()
        self.rotation, self.centre = table.poses(instants)
        self.next_rotation, self.next_centre = table.poses(times + (times[1] - times[0] if len(times) > 1 else 0.0))
        self.c2w = path.poses(instants)
        self.focal = path.focal_px(instants, width, height)
        self.motion = path.motion
        self.atlas = make_atlas(rng)
        self.ground_look = np.array(astuple(Kit(rng, None).surface(1.5, 0.1)), np.float32)
        self.film = rng
        self.samples = samples


@dataclass
class _Seen:
    """What R rays of N instants hit."""

    scene: torch.Tensor  # (N,) which scene each instant is of
    part: torch.Tensor  # (N, R)
    local: torch.Tensor  # (N, R, 3) in the part's unit axes
    normal: torch.Tensor  # (N, R, 3) world
    point: torch.Tensor  # (N, R, 3) world
    texels_at_one_metre: torch.Tensor  # (N, 1 or R), see shading.shade
    look: torch.Tensor  # (N, R, len(LOOK))
    half: torch.Tensor  # (N, R, 3) half extents of the part


class _Stage:
    """Scenes padded to one shape, and the rendering of all their frames."""

    def __init__(self, stories, times, width, height, samples, device):
        self.stories, self.times, self.size, self.samples, self.device = (
            stories,
            times,
            (width, height),
            samples,
            device,
        )
        kinds = (BOX, ELLIPSOID, CYLINDER)
        counts = tuple(max(int((s.layout.parts.kind == k).sum()) for s in stories) for k in kinds)
        total = sum(counts)
        B, N = len(stories), len(times) * samples
        rotation = np.tile(np.eye(3), (B, N, total, 1, 1))
        centre = np.full((B, N, total, 3), 1e5)
        half = np.full((B, total, 3), 1e-3)
        look = np.zeros((B, total + 1, len(LOOK)), np.float32)
        look[..., LOOK["tile"]] = 1.0
        inside, moves = np.zeros((B, total), bool), np.zeros((B, total + 1), bool)
        next_rotation, next_centre = rotation[:, : len(times)].copy(), centre[:, : len(times)].copy()
        for b, story in enumerate(stories):
            table = story.layout.parts
            start = 0
            for kind, count in zip(kinds, counts, strict=True):
                mine = np.flatnonzero(table.kind == kind)
                to = start + np.arange(len(mine))
                rotation[b][:, to], centre[b][:, to] = story.rotation[:, mine], story.centre[:, mine]
                next_rotation[b][:, to] = story.next_rotation[:, mine]
                next_centre[b][:, to] = story.next_centre[:, mine]
                half[b, to], look[b, to], inside[b, to] = table.half[mine], table.look[mine], table.inside[mine]
                moves[b, to] = table.moves[mine]
                start += count
            look[b, total] = story.ground_look
        to_local = np.swapaxes(rotation, -1, -2) / half[:, None, :, :, None]
        waves = None
        if any(s.layout.waves is not None for s in stories):
            most = max(len(s.layout.waves.phase) for s in stories if s.layout.waves is not None)
            waves = np.zeros((B, most, 4))
            for b, story in enumerate(stories):
                if (w := story.layout.waves) is not None:
                    waves[b, : len(w.phase)] = np.column_stack([w.amplitude, w.wave, w.phase])
        put = lambda x, dtype=torch.float32: torch.as_tensor(x).to(device, dtype)  # noqa: E731
        each = lambda x: put(x).repeat_interleave(N, 0)  # noqa: E731
        self.bodies = rays.Bodies(
            put(to_local).flatten(0, 1),
            put(centre).flatten(0, 1),
            put(inside, torch.bool).repeat_interleave(N, 0),
            counts,
            None if waves is None else each(waves),
            put([s.layout.waves is not None for s in stories], torch.bool).repeat_interleave(N, 0),
        )
        self.next_to_world = put(next_rotation * half[:, None, :, None, :])  # (B, F, P, 3, 3) unit axes to world
        self.next_centre = put(next_centre)
        self.half = torch.cat([put(half), put(half[:, :1] * 0 + 1)], 1)
        self.look, self.moves = put(look), put(moves, torch.bool)
        self.glows = self.look[..., LOOK["glow"]] > 0.5
        self.light = put(np.stack([s.layout.light for s in stories]))
        self.ambient = put([s.layout.ambient for s in stories])
        self.c2w = torch.as_tensor(np.stack([s.c2w for s in stories])).to(device)
        focal = torch.as_tensor(np.stack([s.focal for s in stories])).to(device)
        K = torch.zeros(B, N, 3, 3, dtype=torch.float64, device=device)
        K[..., 0, 0], K[..., 1, 1], K[..., 2, 2] = focal, focal, 1.0
        K[..., 0, 2], K[..., 1, 2] = width / 2, height / 2
        self.K = K
        self.atlas = shading.Atlas(mip_levels(torch.stack([s.atlas for s in stories]).to(device)))

    def film(self) -> Clips:
        B, F, S, (width, height) = len(self.stories), len(self.times), self.samples, self.size
        truth = {name: [] for name in ("depth", "normals", "points", "part", "local")}
        pixels = width * height
        colour = torch.zeros(B * F, pixels, 3, device=self.device)
        lit = torch.empty(B * F, pixels, device=self.device)
        budget = RAYS_TIMES_PARTS[self.device.type] // max(sum(self.bodies.counts), 1)
        step_frames, step_rays = max(1, budget // pixels), min(pixels, max(1024, budget))
        for s in range(S):
            chunks = {name: [] for name in truth}
            for first in range(0, B * F, step_frames):
                frame = torch.arange(first, min(first + step_frames, B * F), device=self.device)
                rows = frame * S + s
                out = [self._render(rows, frame // F, s, lit, frame, r, step_rays) for r in range(0, pixels, step_rays)]
                for index, name in enumerate(truth):
                    chunks[name].append(torch.cat([o[1][index] for o in out], 1))
                colour[frame] += torch.cat([o[0] for o in out], 1) / S
            if s == 0:
                truth = {name: torch.cat(parts) for name, parts in chunks.items()}
        linear = colour.reshape(B, F, height, width, 3)
        rgb = torch.stack([develop(linear[b], story.film) for b, story in enumerate(self.stories)])
        shape = (B, F, height, width)
        part = truth["part"].reshape(B, F, -1)
        scene = torch.arange(B, device=self.device)[:, None, None]
        following = self._following(truth, part)
        c2w, K = self.c2w.unflatten(1, (F, S))[:, :, 0], self.K.unflatten(1, (F, S))[:, :, 0]
        return Clips(
            rgb=rgb,
            depth=truth["depth"].reshape(shape),
            normals=truth["normals"].reshape(*shape, 3),
            points=truth["points"].reshape(*shape, 3),
            following=following.reshape(*shape, 3),
            flow=self._flow(following, c2w, K).reshape(B, F - 1, height, width, 2),
            moving=self.moves[scene, part].reshape(shape),
            sky=self.glows[scene, part].reshape(shape),
            part=part.reshape(shape),
            c2w=c2w,
            K=K,
            to_world=self._to_world(),
            times=self.times,
            place=[s.layout.place for s in self.stories],
            motion=[s.motion for s in self.stories],
        )

    def _to_world(self) -> torch.Tensor:
        B, F, S = len(self.stories), len(self.times), self.samples
        to_local, centre = (x.unflatten(0, (B, F * S)) for x in (self.bodies.to_local, self.bodies.centre))
        return torch.cat([torch.linalg.inv(to_local), centre[..., None]], -1)[:, ::S]

    def _render(self, rows, scene, s, lit, frame, first_ray, step_rays):
        """Colour, and the truth of the first sample, of some rays of some instants."""
        width, height = self.size
        c2w, K = self.c2w.flatten(0, 1)[rows], self.K.flatten(0, 1)[rows]
        here = slice(first_ray, first_ray + step_rays)
        direction = _directions(K, c2w, width, height, SAMPLES[s][:2])[:, here]
        bodies = self.bodies.at(rows)
        eye = c2w[:, None, :3, 3].float()
        t, part, point, local, normal = _hits(bodies, eye, direction)
        light = self.light[scene]
        if s == 0:
            lit[frame, here] = shading.shadow(bodies, point, normal, light)
        seen = self._seen(scene, part, local, normal, point, (shading.SIZE / K[:, 0, 0]).float()[:, None])
        colour = self._shade(seen, eye, lit[frame, here])
        colour = self._with_mirrors(colour, bodies, seen, eye)
        in_camera = normal @ c2w[:, :3, :3].float()
        in_camera = torch.where((normal * direction).sum(-1, keepdim=True) > 0, -in_camera, in_camera)
        return colour, (t, in_camera, point, part, local)

    def _seen(self, scene, part, local, normal, point, texels_at_one_metre) -> "_Seen":
        column = scene[:, None].expand_as(part)
        index = torch.where(part == TERRAIN, self.look.shape[1] - 1, part)
        look, half = self.look[column, index], self.half[column, index]
        return _Seen(scene, part, local, normal, point, texels_at_one_metre, look, half)

    def _shade(self, seen: "_Seen", eye, lit) -> torch.Tensor:
        """Linear colours (N, R, 3) as seen from ``eye`` (N, 1 or R, 3)."""
        return shading.shade(
            self.atlas,
            seen.scene[:, None].expand_as(seen.part),
            seen.look,
            shading.texture_coordinates(seen.local, seen.half, seen.part),
            seen.point,
            seen.normal,
            eye,
            self.light[seen.scene][:, None],
            lit,
            self.ambient[seen.scene][:, None],
            seen.texels_at_one_metre,
        )

    def _with_mirrors(self, colour, bodies, seen: "_Seen", eye) -> torch.Tensor:
        """Colours (N, R, 3) with what polished surfaces mirror, once."""
        share = shading.mirrored_share(seen.look, seen.point - eye, seen.normal)
        polished = torch.nonzero((share > MIRRORED_AT_LEAST).any(0))[:, 0]
        if not len(polished):
            return colour
        share, shininess = share[:, polished, None], seen.look[:, polished, LOOK["shininess"]]
        point, normal = seen.point[:, polished], seen.normal[:, polished]
        way = point - eye
        facing = torch.where((way * normal).sum(-1, keepdim=True) > 0, -normal, normal)
        bounced = way - 2 * (way * facing).sum(-1, keepdim=True) * facing
        start = point + 2e-3 * facing * (1 + way.norm(dim=-1, keepdim=True))
        t, part, hit, local, hit_normal = _hits(bodies, start, bounced)
        # Less polished surfaces blur what they mirror.
        texels = seen.texels_at_one_metre * (1 + MIRROR_BLUR / shininess.clamp(min=1))
        image = self._seen(seen.scene, part, local, hit_normal, hit, texels)
        # Where the eye is in the mirror: distances and angles are those of the whole way.
        there = self._shade(image, start - bounced, torch.full_like(t, MIRRORED_LIGHT))
        out = colour.clone()
        out[:, polished] = (1 - share) * colour[:, polished] + share * there
        return out

    def _following(self, truth, part) -> torch.Tensor:
        """Where the hits of every frame are one frame later, (B, F, R, 3) world."""
        B, F = part.shape[:2]
        b = torch.arange(B, device=self.device)[:, None, None]
        f = torch.arange(F, device=self.device)[None, :, None]
        index = part.clamp(min=0)
        local, point = (truth[name].unflatten(0, (B, F)) for name in ("local", "points"))
        later = (self.next_to_world[b, f, index] @ local[..., None])[..., 0] + self.next_centre[b, f, index]
        return torch.where(self.moves[b, part][..., None], later, point)

    def _flow(self, following, c2w, K) -> torch.Tensor:
        """Flow (B, F - 1, R, 2) in pixels from where points go and the next frame's camera."""
        width, height = self.size
        R, centre = c2w[:, 1:, :3, :3], c2w[:, 1:, None, :3, 3]
        local = (following[:, :-1].double() - centre) @ R
        z = local[..., 2:].clamp(min=1e-6)
        xy = local[..., :2] / z * K[:, 1:, None, [0, 1], [0, 1]] + K[:, 1:, None, :2, 2]
        return (xy - _pixels(width, height, (0.5, 0.5), self.device)).float()


def _hits(bodies: rays.Bodies, origin: torch.Tensor, direction: torch.Tensor):
    """First hits of rays (N, R): parameter, part, point, its place in the part's unit axes, normal."""
    t, part = rays.cast(bodies, origin, direction)
    t = torch.where(t.isfinite(), t, FARTHEST)
    point = origin + t[..., None] * direction
    return t, part, point, *rays.surface_at(bodies, point, part)


def _pixels(width: int, height: int, offset, device) -> torch.Tensor:
    """Pixel positions (R, 2), row by row."""
    x = torch.arange(width, device=device, dtype=torch.float64) + offset[0]
    y = torch.arange(height, device=device, dtype=torch.float64) + offset[1]
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)


def _directions(K, c2w, width, height, offset) -> torch.Tensor:
    """World directions (N, R, 3) float32, z = 1 in the camera, of K (N, 3, 3) and c2w (N, 4, 4)."""
    xy = (_pixels(width, height, offset, K.device) - K[:, None, :2, 2]) / K[:, None, [0, 1], [0, 1]]
    local = torch.cat([xy, torch.ones_like(xy[..., :1])], -1)
    return (local @ c2w[:, :3, :3].transpose(1, 2)).float()
