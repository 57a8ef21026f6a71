"""Ground, heading and size that the parent empty gets."""

from types import SimpleNamespace

import numpy as np
import pytest


def room(seed: int = 3):
    """Points of a room in OpenCV axes (y down): floor at y = 1.5, table, walls, and strays beneath the floor."""
    rng = np.random.default_rng(seed)
    floor = np.column_stack([rng.uniform(-2, 2, 800), rng.normal(1.5, 0.01, 800), rng.uniform(1, 6, 800)])
    table = np.column_stack([rng.uniform(-0.5, 0.5, 900), rng.normal(0.8, 0.005, 900), rng.uniform(2, 3, 900)])
    wall = np.column_stack([rng.uniform(-2, 2, 1500), rng.uniform(-1.5, 1.5, 1500), rng.normal(6, 0.01, 1500)])
    strays = np.column_stack([rng.uniform(-2, 2, 40), rng.uniform(1.8, 4, 40), rng.uniform(1, 6, 40)])
    return np.concatenate([floor, table, wall, strays])


def shot(scale: str, up=(0.0, -1.0, 0.0)):
    c2w = np.tile(np.eye(4), (5, 1, 1))
    c2w[:, 0, 3] = np.linspace(0, 0.5, 5)
    return SimpleNamespace(c2w=c2w, up=np.array(up), scale=scale)


def test_floor_lies_at_zero_under_the_first_camera(addon):
    points = room()
    matrix = np.array(addon.placement.root_matrix(shot("metric"), points))
    world = points @ matrix[:3, :3].T + matrix[:3, 3]
    assert abs(np.median(world[:800, 2])) < 0.03
    camera = matrix[:3, 3]
    assert camera == pytest.approx([0, 0, 1.5], abs=0.03)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-6)


def test_arbitrary_scale_becomes_a_few_metres(addon):
    points = room() * 0.013
    scene = shot("arbitrary")
    scene.c2w[:, :3, 3] *= 0.013
    matrix = np.array(addon.placement.root_matrix(scene, points))
    camera = matrix[:3, :3] @ np.median(scene.c2w[:, :3, 3], axis=0) + matrix[:3, 3]
    world = points @ matrix[:3, :3].T + matrix[:3, 3]
    distance = np.median(np.linalg.norm(world - camera, axis=1))
    assert distance == pytest.approx(addon.placement.ARBITRARY_DEPTH_M, rel=1e-3)


def test_camera_that_looks_straight_down_gets_some_heading(addon):
    scene = shot("metric")
    down = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=float)
    scene.c2w[:, :3, :3] = down.T
    rotation = addon.placement.upright_rotation(scene.up, scene.c2w[0, :3, 2])
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    np.testing.assert_allclose(rotation @ [0, -1, 0], [0, 0, 1], atol=1e-9)


def test_scene_without_points_stands_at_its_first_camera(addon):
    matrix = np.array(addon.placement.root_matrix(shot("arbitrary"), np.zeros((0, 3))))
    np.testing.assert_allclose(matrix[:3, 3], 0, atol=1e-9)
