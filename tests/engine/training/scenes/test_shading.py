"""Mirrors and windows of procedural scenes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from geo4d.training.scenes import clip, make_clips, shading  # noqa: E402
from geo4d.training.scenes.layout import Layout  # noqa: E402
from geo4d.training.scenes.parts import BOX, LOOK, Group, PartList, Surface  # noqa: E402
from geo4d.training.scenes.textures import make_atlas, mip_levels  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

BLOCK = np.array([0.0, -1.0, 3.0]), np.array([0.8, 0.4, 0.1])  # centre and half extents


def looks(**columns):
    look = torch.zeros(1, 1, len(LOOK))
    for name, value in {"tile": 1.0, "contrast": 1.0, "gain": 1.0, "shininess": 20.0, **columns}.items():
        look[..., LOOK[name]] = value
    return look


def test_a_mirror_shows_more_the_flatter_one_looks_at_it():
    normal = torch.tensor([[[0.0, -1.0, 0.0]]])
    down, along = torch.tensor([[[0.0, 2.0, 0.0]]]), torch.tensor([[[0.0, 0.01, 3.0]]])
    assert shading.mirrored_share(looks(mirror=0.1), down, normal).item() == pytest.approx(0.1)
    assert shading.mirrored_share(looks(mirror=0.1), along, normal).item() > 0.9
    assert shading.mirrored_share(looks(), along, normal).item() == 0


def test_a_polished_floor_shows_what_stands_over_it(monkeypatch):
    """Where the mirrored ray meets a bright block the floor is bright, elsewhere it is dark."""

    def one_block(rng, movers):
        parts = PartList()
        dark, bright = Surface(contrast=0.0, gain=0.02), Surface(contrast=0.0, glow=1.0)
        parts.add(BOX, (4, 2.01, 5), (0, -1.99, 0), dark, inside=True)
        parts.add(BOX, (4, 0.02, 5), (0, 0.02, 0), Surface(contrast=0.0, gain=0.02, mirror=0.8, shininess=1e3))
        parts.add(BOX, BLOCK[1], BLOCK[0], bright)
        box = np.array([[-0.01, -1.51, -2.0], [0.01, -1.5, -1.99]])
        lamp = np.array([0.0, -3.9, 0.0])
        return Layout("room", parts.table(), None, lamp, 0.5, box, np.array([0.0, -0.6, 3.0]), 3.0)

    monkeypatch.setattr(clip, "lay_out", one_block)
    monkeypatch.setattr(clip, "develop", lambda linear, rng: (255 * linear.clamp(0, 1)).to(torch.uint8))
    clips = make_clips([3], frames=1, height=96, width=128, motion="static", samples=1)
    points = clips.points[0, 0].double().numpy()
    eye = clips.c2w[0, 0, :3, 3].numpy()
    floor = np.abs(points[..., 1]) < 1e-3
    way = (points - eye) * [1, -1, 1]
    t = (BLOCK[0][2] - BLOCK[1][2] - points[..., 2]) / way[..., 2]  # to the block's front
    at = points + t[..., None] * way
    off = (np.abs(at - BLOCK[0]) / BLOCK[1])[..., :2].max(axis=-1)
    grey = clips.rgb[0, 0].double().mean(-1).numpy()
    mirrored, beside = floor & (t > 0) & (off < 0.9), floor & (off > 1.3)
    assert mirrored.sum() > 30 and beside.sum() > 300
    assert np.median(grey[mirrored]) > 3 * np.median(grey[beside])


def test_a_window_looks_the_same_from_everywhere_in_the_same_direction():
    atlas = shading.Atlas(mip_levels(make_atlas(np.random.default_rng(0))[None]))
    direction = torch.nn.functional.normalize(torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(1)), dim=-1)

    def seen(eye, outlook):
        eye = torch.tensor(eye)[None, None]
        point = eye + 2.5 * direction
        one, scene = torch.ones(1, 50), torch.zeros(1, 50, dtype=torch.long)
        look = looks(outlook=outlook, glow=outlook).expand(1, 50, -1)
        light = torch.tensor([[[0.0, -5.0, 0.0]]])
        return shading.shade(
            atlas, scene, look, point[..., :2], point, -direction, eye, light, one, one[:, :1], one[:, :1]
        )

    assert torch.allclose(seen([0.0, 0.0, 0.0], 1.0), seen([0.4, -0.3, 0.2], 1.0), atol=1e-5)
    assert not torch.allclose(seen([0.0, 0.0, 0.0], 0.0), seen([0.4, -0.3, 0.2], 0.0), atol=1e-2)


def test_one_who_leans_keeps_the_feet_in_place():
    parts = PartList()
    g = parts.group(Group(np.array([1.0, 0.0, 2.0]), lean=0.2, sway_hz=1.0))
    parts.add(BOX, (0.1, 0.01, 0.1), (0, 0, 0), Surface(), group=g)
    parts.add(BOX, (0.1, 0.1, 0.1), (0, -1.7, 0), Surface(), group=g)
    table = parts.table()
    _, centre = table.poses(np.linspace(0, 1, 9))
    assert table.moves.all()
    assert np.ptp(centre[:, 0], axis=0).max() < 1e-9
    assert np.ptp(centre[:, 1], axis=0).max() > 0.5
