"""The moving mask on a scene whose truth is known: a box before a wall, seen by a moving camera."""

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')

from geo4d.models.vggt4d import motion  # noqa: E402 - needs torch

FRAMES, H, W, FOCAL = 16, 60, 80, 70.0


def scene(speed: float):
    """Depth (T, H, W), cameras, and where the box is seen; the box moves ``speed`` to the right each frame."""
    x = (torch.arange(W) + 0.5 - W / 2) / FOCAL
    y = ((torch.arange(H) + 0.5 - H / 2) / FOCAL)[:, None]
    depths, cameras, boxes = [], torch.eye(4, dtype=torch.float64).repeat(FRAMES, 1, 1), []
    for t in range(FRAMES):
        cameras[t, 0, 3] = centre = 0.05 * t
        wall = torch.full((H, W), 6.0) + 0.5 * (x * 6 + centre)  # a slanted wall
        left = -1.2 + speed * t - centre
        box = (x * 3 > left) & (x * 3 < left + 0.7) & (y.abs() * 3 < 0.6)
        depths.append(torch.where(box, torch.tensor(3.0), wall))
        boxes.append(box)
    return torch.stack(depths), cameras, torch.stack(boxes)


def seen_moving(speed: float, **options):
    depth, cameras, box = scene(speed)
    focal = torch.full((FRAMES,), FOCAL)
    return motion.moving(depth, cameras, focal, focal, **options), box


def test_moving_box_is_found_and_the_wall_is_not():
    mask, box = seen_moving(0.12)
    assert mask.shape == (FRAMES, H, W) and 0 <= mask.min() and mask.max() <= 1
    assert (mask[box] > 0.5).float().mean() > 0.7
    assert (mask[~box] > 0.5).float().mean() < 0.01


def test_box_at_rest_is_not_found():
    mask, _ = seen_moving(0.0)
    assert (mask > 0.5).float().mean() < 0.01


def test_change_by_time_counts_by_half_at_most():
    depth, _, box = scene(0.0)
    draw = torch.Generator().manual_seed(0)
    spatial = depth * torch.exp(0.01 * torch.randn(depth.shape, generator=draw))
    assert seen_moving(0.0, spatial_depth=spatial)[0].mean() < 0.01
    spatial[box] *= 1.5
    mask, _ = seen_moving(0.0, spatial_depth=spatial)
    assert mask[box].median() == 0.5 and (mask[~box] > 0.3).float().mean() < 0.05


def test_one_frame_says_nothing():
    depth, cameras, _ = scene(0.1)
    assert motion.moving(depth[:1], cameras[:1], *[torch.full((1,), FOCAL)] * 2).max() == 0
