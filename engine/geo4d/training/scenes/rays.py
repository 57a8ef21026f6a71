"""Rays against parts: exact hits of boxes, ellipsoids, cylinders and a height field, batched.

A part is the unit cube, ball or cylinder in its own axes; a ray is brought there by one affine map. Directions
are not normalised: with ``z = 1`` in camera axes the ray's parameter is z-depth itself.
"""

from dataclasses import dataclass

import torch

from .parts import BOX, CYLINDER, ELLIPSOID, TERRAIN

NEAREST = 1e-3  # of what a hit's parameter must at least be
MARCH_STEPS = 40
BISECTIONS = 8


@dataclass
class Bodies:
    """Parts of N cameras' instants, padded to one count a kind: boxes first, then ellipsoids, then cylinders."""

    to_local: torch.Tensor  # (N, P, 3, 3) world offset to unit axes
    centre: torch.Tensor  # (N, P, 3)
    inside: torch.Tensor  # (N, P) bool: seen from within
    counts: tuple[int, int, int]  # boxes, ellipsoids, cylinders; sum P
    waves: torch.Tensor | None  # (N, W, 4) amplitude, kx, kz, phase of the height field; amplitude 0 is none
    has_terrain: torch.Tensor  # (N,) bool

    def slices(self) -> list[tuple[int, slice]]:
        """(kind, columns) for the kinds that are there."""
        out, start = [], 0
        for kind, count in zip((BOX, ELLIPSOID, CYLINDER), self.counts, strict=True):
            if count:
                out.append((kind, slice(start, start + count)))
            start += count
        return out

    def at(self, rows) -> "Bodies":
        """The instants ``rows``."""
        waves = None if self.waves is None else self.waves[rows]
        return Bodies(
            self.to_local[rows], self.centre[rows], self.inside[rows], self.counts, waves, self.has_terrain[rows]
        )


def cast(bodies: Bodies, origin: torch.Tensor, direction: torch.Tensor, shells: bool = True):
    """First hits of rays.

    Parameters
    ----------
    origin : (N, 1, 3) one eye for all rays of an instant, or (N, R, 3).
    direction : (N, R, 3) in the world, any length.
    shells : False leaves out parts that are seen from within (for shadow rays).

    Returns
    -------
    t : (N, R) parameter of the first hit, inf where none.
    part : (N, R) int64 its part, TERRAIN for the height field.
    """
    best = torch.full(direction.shape[:2], torch.inf, device=direction.device)
    part = torch.zeros(direction.shape[:2], dtype=torch.int64, device=direction.device)
    d = direction.transpose(1, 2)  # (N, 3, R)
    for kind, columns in bodies.slices():
        A = bodies.to_local[:, columns]
        n, p = A.shape[:2]
        rays = (A.reshape(n, p * 3, 3) @ d).reshape(n, p, 3, -1)
        offset = (origin[:, :, None] - bodies.centre[:, None, columns]).permute(0, 2, 3, 1)  # (N, P, 3, 1 or R)
        o = torch.einsum("npij,npjr->npir", A, offset)
        inside = bodies.inside[:, columns, None]
        t = _HITS[kind](o, rays, inside)
        if not shells:
            t = torch.where(inside, torch.inf, t)
        nearest, which = t.min(1)
        closer = nearest < best
        best = torch.where(closer, nearest, best)
        part = torch.where(closer, which + columns.start, part)
    if bodies.waves is not None and bool(bodies.has_terrain.any()):
        t = _terrain_hit(bodies, origin, direction, best)
        closer = t < best
        best, part = torch.where(closer, t, best), torch.where(closer, TERRAIN, part)
    return best, part


def _interval(near: torch.Tensor, far: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Entry of a solid, or exit of a shell; inf where the ray misses."""
    entry = torch.where((near < far) & (near > NEAREST), near, torch.inf)
    leaving = torch.where((near < far) & (far > NEAREST), far, torch.inf)
    return torch.where(inside, leaving, entry)


def _box_hit(o, d, inside):
    inverse = 1 / torch.where(d.abs() < 1e-12, 1e-12, d)
    middle, reach = -o * inverse, inverse.abs()
    return _interval((middle - reach).amax(2), (middle + reach).amin(2), inside)


def _quadratic(a, b, c):
    root = torch.sqrt((b * b - a * c).clamp(min=0))
    miss = b * b - a * c <= 0
    a = a.clamp(min=1e-20)
    near, far = (-b - root) / a, (-b + root) / a
    return torch.where(miss, torch.inf, near), torch.where(miss, -torch.inf, far)


def _ellipsoid_hit(o, d, inside):
    near, far = _quadratic((d * d).sum(2), (o * d).sum(2), (o * o).sum(2) - 1)
    return _interval(near, far, inside)


def _cylinder_hit(o, d, inside):
    a, b = d[:, :, 0] ** 2 + d[:, :, 2] ** 2, o[:, :, 0] * d[:, :, 0] + o[:, :, 2] * d[:, :, 2]
    near, far = _quadratic(a, b, o[:, :, 0] ** 2 + o[:, :, 2] ** 2 - 1)
    y = torch.where(d[:, :, 1].abs() < 1e-12, 1e-12, d[:, :, 1])
    middle, reach = -o[:, :, 1] / y, 1 / y.abs()
    return _interval(torch.maximum(near, middle - reach), torch.minimum(far, middle + reach), inside)


_HITS = {BOX: _box_hit, ELLIPSOID: _ellipsoid_hit, CYLINDER: _cylinder_hit}


def ground_height(waves: torch.Tensor, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Height y (N, R) of the height fields (N, W, 4) at x, z (N, R)."""
    y = torch.zeros_like(x)
    for w in range(waves.shape[1]):
        a, kx, kz, phase = waves[:, w].T[:, :, None]
        y = y - a * torch.sin(kx * x + kz * z + phase)
    return y


def _terrain_hit(bodies: Bodies, origin, direction, limit) -> torch.Tensor:
    """First crossing of the height field: a geometric march, then bisection."""
    reach = torch.where(limit.isfinite(), limit, 1e3)
    lowest = 0.05 / direction.norm(dim=-1)
    growth = (reach / lowest).clamp(min=1.0).log() / MARCH_STEPS

    def below(t):
        p = origin + t[..., None] * direction
        return p[..., 1] - ground_height(bodies.waves, p[..., 0], p[..., 2]) > 0

    before, after = torch.zeros_like(lowest), torch.full_like(lowest, torch.inf)
    found = torch.zeros_like(lowest, dtype=torch.bool)
    for k in range(MARCH_STEPS + 1):
        t = lowest * torch.exp(growth * k)
        crossed = below(t) & ~found
        after = torch.where(crossed, t, after)
        found = found | crossed
        before = torch.where(found, before, t)
    for _ in range(BISECTIONS):
        t = (before + torch.where(found, after, before)) / 2
        under = below(t)
        after = torch.where(under & found, t, after)
        before = torch.where(under, before, t)
    # One secant step on top of the bisection: the parameter is then good to about a millionth.
    t = _secant(bodies.waves, origin, direction, before, torch.where(found, after, before))
    return torch.where(found & bodies.has_terrain[:, None], t, torch.inf)


def _secant(waves, origin, direction, a, b):
    def gap(t):
        p = origin + t[..., None] * direction
        return p[..., 1] - ground_height(waves, p[..., 0], p[..., 2])

    fa, fb = gap(a), gap(b)
    share = fa / torch.where((fa - fb).abs() < 1e-12, 1.0, fa - fb)
    return a + share.clamp(0, 1) * (b - a)


def surface_at(bodies: Bodies, point: torch.Tensor, part: torch.Tensor):
    """Unit coordinates and outward normal of hits.

    Parameters
    ----------
    point, part : (N, R, 3) world hits and (N, R) what was hit.

    Returns
    -------
    local : (N, R, 3) in the part's unit axes; the world's x, y, z for the height field.
    normal : (N, R, 3) unit, in the world, out of the solid (into the room for shells).
    """
    n = torch.arange(len(part), device=part.device)[:, None]
    index = part.clamp(min=0)
    A = bodies.to_local[n, index]  # (N, R, 3, 3)
    local = (A @ (point - bodies.centre[n, index])[..., None])[..., 0]
    gradient = torch.zeros_like(local)
    for kind, columns in bodies.slices():
        mine = ((index >= columns.start) & (index < columns.stop))[..., None]
        gradient = torch.where(mine, _GRADIENTS[kind](local), gradient)
    normal = (A.transpose(-1, -2) @ gradient[..., None])[..., 0]
    normal = torch.where(bodies.inside[n, index][..., None], -normal, normal)
    ground = part == TERRAIN
    if bool(ground.any()):
        slope_x, slope_z = torch.zeros_like(point[..., 0]), torch.zeros_like(point[..., 0])
        for w in range(bodies.waves.shape[1]):
            a, kx, kz, phase = bodies.waves[:, w].T[:, :, None]
            cosine = a * torch.cos(kx * point[..., 0] + kz * point[..., 2] + phase)
            slope_x, slope_z = slope_x - kx * cosine, slope_z - kz * cosine
        up = torch.stack([slope_x, -torch.ones_like(slope_x), slope_z], -1)
        normal = torch.where(ground[..., None], up, normal)
        local = torch.where(ground[..., None], point, local)
    return local, torch.nn.functional.normalize(normal, dim=-1)


def _box_gradient(p):
    face = p.abs().argmax(-1, keepdim=True)
    return torch.zeros_like(p).scatter(-1, face, p.gather(-1, face).sign())


def _cylinder_gradient(p):
    side = torch.stack([p[..., 0], torch.zeros_like(p[..., 0]), p[..., 2]], -1)
    cap = torch.stack([torch.zeros_like(p[..., 1]), p[..., 1].sign(), torch.zeros_like(p[..., 1])], -1)
    on_cap = p[..., 1].abs() > side.norm(dim=-1)
    return torch.where(on_cap[..., None], cap, side)


_GRADIENTS = {BOX: _box_gradient, ELLIPSOID: lambda p: p, CYLINDER: _cylinder_gradient}
