"""Colour of hits: texture with mip levels, one light with shadow, highlights, light of the surroundings."""

import torch

from . import rays
from .parts import LOOK, TERRAIN
from .textures import LEVELS, SIZE


class Atlas:
    """Textures of B scenes with all mip levels in one flat table."""

    def __init__(self, levels: list[torch.Tensor]):
        """``levels`` as from :func:`.textures.mip_levels` with a leading B: (B, T, S, S, 3) each."""
        self.textures = levels[0].shape[1]
        self.table = torch.cat([level.flatten(2, 3) for level in levels], dim=2)  # (B, T, texels, 3)
        sides = [level.shape[2] for level in levels]
        starts = torch.tensor([sum(s * s for s in sides[:k]) for k in range(len(sides))])
        self.starts = starts.to(self.table.device)
        self.mean = levels[-1].mean((2, 3))  # (B, T, 3)

    def sample(
        self, scene: torch.Tensor, texture: torch.Tensor, uv: torch.Tensor, texels: torch.Tensor
    ) -> torch.Tensor:
        """Colours (..., 3), bilinear on the mip level of a footprint of ``texels`` of the finest level.

        ``scene``, ``texture`` and ``texels`` are (...,), ``uv`` (..., 2) in repeats.
        """
        level = torch.log2(texels.clamp(min=1)).round().long().clamp(0, LEVELS - 1)
        side = SIZE >> level
        xy = uv.remainder(1.0) * side[..., None] - 0.5
        low = xy.floor()
        share = xy - low
        low = low.long()
        base = self.starts[level]
        flat = self.table.flatten(0, 2)
        row = (scene * self.textures + texture) * self.table.shape[2]
        out = 0.0
        for dx in (0, 1):
            for dy in (0, 1):
                x, y = (low[..., 0] + dx).remainder(side), (low[..., 1] + dy).remainder(side)
                weight = (share[..., 0] if dx else 1 - share[..., 0]) * (share[..., 1] if dy else 1 - share[..., 1])
                out = out + weight[..., None] * flat[row + base + y * side + x]
        return out


def texture_coordinates(local: torch.Tensor, half: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Metric coordinates (..., 2) on the face of a part that a hit lies on; x and z on the height field."""
    metric = local * half
    face = local.abs().argmax(-1)
    first = torch.where(face == 0, metric[..., 2], metric[..., 0])
    second = torch.where(face == 1, metric[..., 2], metric[..., 1])
    ground = part == TERRAIN
    return torch.stack([torch.where(ground, local[..., 0], first), torch.where(ground, local[..., 2], second)], -1)


def _through_window(outlook, direction, uv, contrast, gain):
    """Panes show what is far away: a texture over directions, plainer and brighter above the horizon."""
    azimuth, up = torch.atan2(direction[..., 0], direction[..., 2]), -direction[..., 1]
    sky = torch.sigmoid(30 * up)
    pane = outlook > 0
    uv = torch.where(pane[..., None], torch.stack([azimuth, -up], -1), uv)
    return uv, torch.where(pane, contrast * (1 - 0.85 * sky), contrast), torch.where(pane, gain * (0.6 + sky), gain)


def mirrored_share(look: torch.Tensor, way: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """Share of light (N, R) that surfaces mirror towards the eye, by Schlick's approximation of Fresnel's equations.

    ``look`` is (N, R, len(LOOK)), ``way`` from the eye to the hit and ``normal`` are (N, R, 3).
    """
    head_on = look[..., LOOK["mirror"]]
    facing = (torch.nn.functional.normalize(way, dim=-1) * normal).sum(-1).abs()
    return torch.where(head_on > 0, head_on + (1 - head_on) * (1 - facing) ** 5, 0.0)


def shadow(bodies: rays.Bodies, point: torch.Tensor, normal: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    """1 where the light (N, 3) reaches the hits (N, R, 3), 0 where something stands between."""
    towards = light[:, None] - point
    start = point + 2e-3 * normal * (1 + 0.02 * point.norm(dim=-1, keepdim=True))
    without_ground = rays.Bodies(bodies.to_local, bodies.centre, bodies.inside, bodies.counts, None, bodies.has_terrain)
    t, _ = rays.cast(without_ground, start, towards, shells=False)
    return (t > 1).to(point.dtype)


def shade(
    atlas: Atlas,
    scene: torch.Tensor,
    look: torch.Tensor,
    uv: torch.Tensor,
    point: torch.Tensor,
    normal: torch.Tensor,
    eye: torch.Tensor,
    light: torch.Tensor,
    lit: torch.Tensor,
    ambient: torch.Tensor,
    texels_at_one_metre: torch.Tensor,
) -> torch.Tensor:
    """Linear colours (N, R, 3).

    Parameters
    ----------
    scene : (N, R) which scene's atlas.
    look : (N, R, len(LOOK)) the fields of :class:`.parts.Surface` at the hits.
    uv : (N, R, 2) metric surface coordinates.
    point, normal : (N, R, 3) world.
    eye : (N, 1 or R, 3), light : (N, 1, 3) world.
    lit : (N, R) share of the light that arrives.
    ambient : (N, 1) share of light from everywhere.
    texels_at_one_metre : (N, 1 or R) angle of a pixel times SIZE: footprint on a tile of one metre at one metre.
    """
    texture, tile, contrast, gain, specular, shininess, glow, _, outlook = look.unbind(-1)
    view = eye - point
    distance = view.norm(dim=-1)
    view = view / distance.clamp(min=1e-9)[..., None]
    facing = (view * normal).sum(-1).abs().clamp(min=0.15)
    texels = texels_at_one_metre * torch.where(outlook > 0, 1.0, distance / facing.sqrt()) / tile
    uv, contrast, gain = _through_window(outlook, -view, uv, contrast, gain)
    texture = texture.long()
    colour = atlas.sample(scene, texture, uv / tile[..., None], texels)
    plain = atlas.mean[scene, texture]
    albedo = (plain + contrast[..., None] * (colour - plain)) * gain[..., None]
    beam = light - point
    far = beam.norm(dim=-1)
    beam = beam / far.clamp(min=1e-9)[..., None]
    fall = torch.where(far > 100, 1.0, 9.0 / (4.0 + far * far))
    lambert = (beam * normal).sum(-1).clamp(min=0) * lit * fall
    around = 0.75 - 0.25 * normal[..., 1] + 0.12 * normal[..., 0]
    light_in = ambient * around + (1 - ambient) * 1.6 * lambert
    middle = torch.nn.functional.normalize(beam + view, dim=-1)
    shine = specular * lit * (middle * normal).sum(-1).clamp(min=0) ** shininess
    # A polished surface also mirrors the room about it: a smooth light that moves with the eye.
    mirrored = 2 * (view * normal).sum(-1, keepdim=True) * normal - view
    sheen = specular * 0.25 * (1 + torch.sin(3 * mirrored[..., 0] + 2 * mirrored[..., 1] + 4 * mirrored[..., 2]))
    sheen = sheen * (1 - facing) ** 2
    lit_colour = albedo * light_in[..., None] + (shine + sheen * ambient)[..., None]
    return lit_colour + glow[..., None] * (albedo * 1.2 + 0.25 - lit_colour)
