"""Procedural clips: everything that is said to be true about them agrees with everything else."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from geo4d.training.scenes import camera_path, make_clips  # noqa: E402
from geo4d.training.scenes.layout import lay_out  # noqa: E402
from geo4d.training.scenes.parts import TERRAIN, Group  # noqa: E402

SEEDS = (4, 12, 44)  # a room, a street and open terrain, each with movers in sight
SIZE = dict(height=72, width=128)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def clips():
    return make_clips(SEEDS, frames=3, movers=True, motion="hand-held", samples=2, **SIZE)


def project(points, c2w, K):
    """World points (..., H, W, 3) to pixels and z, each of a leading axis with its own camera."""
    local = (points.double() - c2w[..., None, None, :3, 3]) @ c2w[..., None, :3, :3]
    xy = local[..., :2] / local[..., 2:] * K[..., None, None, [0, 1], [0, 1]] + K[..., None, None, :2, 2]
    return xy, local[..., 2]


def pixel_centres(clips):
    height, width = clips.depth.shape[2:]
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return torch.from_numpy(np.stack([x, y], -1))


def test_seeds_cover_rooms_streets_and_terrain(clips):
    places = {lay_out(np.random.default_rng([s, 5])).place for s in range(12)}
    assert places == {"room", "street", "terrain"}
    assert clips.rgb.dtype == torch.uint8
    assert clips.rgb.float().std() > 15, "pictures show something"


def test_points_are_depth_along_rays_and_project_to_their_pixels(clips):
    direction, origin = clips.rays()
    along = origin[:, :, None, None] + clips.depth[..., None] * direction
    assert torch.allclose(along, clips.points, rtol=1e-4, atol=1e-3)
    xy, z = project(clips.points, clips.c2w, clips.K)
    assert (xy - pixel_centres(clips)).abs().max() < 0.02
    assert ((z - clips.depth) / clips.depth).abs().max() < 1e-3


def test_flow_is_the_reprojection_of_where_points_go(clips):
    xy, z = project(clips.following[:, :-1], clips.c2w[:, 1:], clips.K[:, 1:])
    ahead = z > 0.05
    assert ((xy - pixel_centres(clips) - clips.flow)[ahead].abs() < 0.02).all()


def test_flow_leads_to_the_same_surface_in_the_next_frame(clips):
    """Depth of the next frame, read where flow leads, is the depth that the point has there (unless hidden)."""
    xy, z = project(clips.following[:, :-1], clips.c2w[:, 1:], clips.K[:, 1:])
    height, width = clips.depth.shape[2:]
    column, row = xy[..., 0].floor().long(), xy[..., 1].floor().long()
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height) & (z > 0)
    flat = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(2)
    there = clips.depth[:, 1:].flatten(2).gather(2, flat).reshape(z.shape)
    same = ((there / z - 1).abs() < 0.03)[inside].double().mean()
    in_front = (there < 0.97 * z)[inside].double().mean()
    assert same > 0.85
    assert same + in_front > 0.95, "what is not the same is hidden by something nearer"


def test_moving_mask_is_where_flow_is_not_that_of_a_rigid_world(clips):
    rigid, z = project(clips.points[:, :-1], clips.c2w[:, 1:], clips.K[:, 1:])
    off = (rigid - pixel_centres(clips) - clips.flow).norm(dim=-1)
    moving = clips.moving[:, :-1]
    assert moving.double().mean() > 0.01, "something moves"
    assert off[~moving & (z > 0.05)].max() < 0.02
    assert (off[moving] > 0.02).double().mean() > 0.9


def test_normals_are_those_of_the_depth(clips):
    """Away from edges the cross product of neighbouring points is the normal."""
    p = clips.points
    across, down = p[..., 1:-1, 2:, :] - p[..., 1:-1, :-2, :], p[..., 2:, 1:-1, :] - p[..., :-2, 1:-1, :]
    normal = torch.nn.functional.normalize(torch.cross(down, across, dim=-1), dim=-1)
    normal = normal @ clips.c2w[..., None, :3, :3].float()
    cosine = (normal * clips.normals[..., 1:-1, 1:-1, :]).sum(-1)
    part = clips.part
    smooth = torch.ones_like(cosine, dtype=torch.bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            shifted = part[..., 1 + dy : part.shape[2] - 1 + dy, 1 + dx : part.shape[3] - 1 + dx]
            smooth &= shifted == part[..., 1:-1, 1:-1]
    assert smooth.double().mean() > 0.5
    assert (cosine[smooth] > 0.98).double().mean() > 0.9  # boxes have edges inside a part
    assert (clips.normals * _camera_rays(clips)).sum(-1).max() <= 1e-4, "normals face the camera"


def _camera_rays(clips):
    direction, _ = clips.rays()
    return direction @ clips.c2w[..., None, :3, :3].float()


def test_same_seed_same_clip_alone_or_among_others(clips):
    again = make_clips(SEEDS[:1], frames=3, movers=True, motion="hand-held", samples=2, **SIZE)
    assert torch.equal(again.rgb[0], clips.rgb[0])
    assert torch.allclose(again.depth[0], clips.depth[0], rtol=1e-5)
    other = make_clips([SEEDS[0] + 1], frames=1, samples=1, **SIZE)
    assert not torch.equal(other.rgb[0, 0], again.rgb[0, 0])


def test_static_cameras_stand_and_turning_ones_only_turn():
    still = make_clips([5], frames=3, height=16, width=16, motion="static", samples=1)
    assert torch.equal(still.c2w[0, 0], still.c2w[0, -1])
    turning = make_clips([5], frames=3, height=16, width=16, motion="rotation", samples=1)
    assert torch.equal(turning.c2w[0, 0, :3, 3], turning.c2w[0, -1, :3, 3])
    assert not torch.equal(turning.c2w[0, 0], turning.c2w[0, -1])
    assert set(camera_path.MOTIONS) >= {"rotation", "static"}


def test_background_is_finite_and_hits_everywhere(clips):
    assert clips.depth.isfinite().all()
    assert clips.depth.max() < 1e3
    assert clips.depth.min() > 0.01


def test_a_rooms_floor_is_one_surface(clips):
    """Not the shell's lower face here and there: two surfaces in one plane."""
    part, floor = clips.part[0], clips.points[0, ..., 1].abs() < 1e-3
    assert floor.double().mean() > 0.05, "the seed was chosen to show a room's floor"
    assert clips.place[0] == "room"
    assert torch.mode(part[floor])[0] != 0
    assert (part[floor] == 0).double().mean() < 1e-3, "part 0 is the shell, whose walls come down to the floor"


def test_height_field_hits_lie_on_it():
    clips = make_clips([44], frames=1, samples=1, **SIZE)
    ground = clips.part[0, 0] == TERRAIN
    if not ground.any():
        pytest.fail("the seed was chosen to show open terrain")
    waves = lay_out(np.random.default_rng([44, 5])).waves
    hit = clips.points[0, 0][ground].numpy().astype(np.float64)
    near = clips.depth[0, 0][ground].numpy() < 20
    gap = np.abs(hit[:, 1] - waves(hit[:, 0], hit[:, 2]))[near]
    assert np.percentile(gap, 99) < 0.02


def test_company_goes_where_the_camera_goes_or_comes_from_there_as_fast_as_before():
    way = np.array([1.0, 0.3, 2.0])
    ahead = way[[0, 2]] / np.linalg.norm(way[[0, 2]])
    groups = [Group(np.zeros(3), 0.3, np.array([0.0, 0, speed])) for speed in np.linspace(0.5, 3, 40)]
    still = Group(np.zeros(3), 0.3)
    turned = camera_path.keep_company(np.random.default_rng(2), [*groups, still], way)
    changed = [g for g in groups if g.yaw != 0.3]
    assert len(changed) == turned and 8 < turned < 24 and still.yaw == 0.3 and not still.velocity.any()
    for g, speed in zip(groups, np.linspace(0.5, 3, 40), strict=True):
        assert np.linalg.norm(g.velocity) == pytest.approx(speed)
    along = np.array([g.velocity[[0, 2]] @ ahead / np.linalg.norm(g.velocity) for g in changed])
    assert np.abs(along).min() > 0.95 and along.min() < 0 < along.max()
    assert all(
        np.allclose(g.velocity[[0, 2]], np.linalg.norm(g.velocity) * np.array([np.sin(g.yaw), np.cos(g.yaw)]))
        for g in changed
    )
    assert camera_path.keep_company(np.random.default_rng(2), groups, np.zeros(3)) == 0, "a camera at rest goes nowhere"
