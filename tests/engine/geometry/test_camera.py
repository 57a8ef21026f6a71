import numpy as np
import pytest
from geo4d.geometry.camera import (
    Intrinsics,
    camera_rays,
    distort,
    invert_pose,
    pixel_grid,
    project,
    undistort,
    unproject,
)
from geo4d.geometry.rotation import quaternions, rotation_matrices, slerp
from geo4d.geometry.similarity import umeyama

RNG = np.random.default_rng(7)


def random_pose(rng=RNG):
    pose = np.eye(4)
    pose[:3, :3] = rotation_matrices(rng.normal(size=(1, 4)))[0]
    pose[:3, 3] = rng.normal(size=3)
    return pose


@pytest.mark.parametrize("k1", [0.0, -0.12, 0.2])
def test_unproject_inverts_project(k1):
    lens = Intrinsics(640, 360, 520.0, 515.0, 300.0, 190.0, k1)
    pose = random_pose()
    pixels = RNG.uniform([0, 0], [640, 360], (200, 2))
    depth = RNG.uniform(0.5, 20.0, 200)
    world = unproject(pixels, depth, pose, lens)
    back, z = project(world, pose, lens)
    np.testing.assert_allclose(back, pixels, atol=1e-8)
    np.testing.assert_allclose(z, depth, atol=1e-9)


def test_points_behind_the_camera_have_no_pixel():
    pixels, z = project(np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 2.0]]), np.eye(4), Intrinsics(10, 10, 5, 5, 5, 5))
    assert np.isnan(pixels[0]).all() and z[0] == -1
    np.testing.assert_allclose(pixels[1], [5, 5])


def test_scaling_a_lens_keeps_rays():
    lens = Intrinsics(640, 360, 520.0, 515.0, 300.0, 190.0, -0.1)
    half = lens.scaled(320, 180)
    pixels = RNG.uniform([0, 0], [640, 360], (50, 2))
    np.testing.assert_allclose(camera_rays(pixels, lens), camera_rays(pixels / 2, half), atol=1e-12)


@pytest.mark.parametrize("k1", [-0.15, -0.01, 0.3])
def test_undistort_inverts_distort(k1):
    points = RNG.uniform(-0.8, 0.8, (500, 2))
    np.testing.assert_allclose(undistort(distort(points, k1), k1), points, atol=1e-10)


def test_pixel_centres():
    grid = pixel_grid(4, 3)
    assert grid.shape == (3, 4, 2)
    np.testing.assert_array_equal(grid[0, 0], [0.5, 0.5])
    np.testing.assert_array_equal(grid[2, 3], [3.5, 2.5])


def test_invert_pose():
    poses = np.stack([random_pose() for _ in range(5)])
    np.testing.assert_allclose(invert_pose(poses) @ poses, np.broadcast_to(np.eye(4), (5, 4, 4)), atol=1e-12)


def test_quaternions_round_trip_and_stay_on_one_side():
    angles = np.linspace(0, 4 * np.pi, 60)  # past the sign flip at 2 pi
    q = np.stack([np.cos(angles / 2), np.sin(angles / 2), 0 * angles, 0 * angles], axis=1)
    R = rotation_matrices(q)
    back = quaternions(R)
    np.testing.assert_allclose(rotation_matrices(back), R, atol=1e-12)
    assert (np.sum(back[1:] * back[:-1], axis=1) > 0).all()


def test_slerp_runs_at_constant_speed():
    a, b = quaternions(np.stack([random_pose()[:3, :3], random_pose()[:3, :3]]))
    q = slerp(a, b, np.linspace(0, 1, 11))
    steps = np.arccos(np.clip(np.sum(q[1:] * q[:-1], axis=1), -1, 1))
    np.testing.assert_allclose(steps, steps[0], atol=1e-6)
    np.testing.assert_allclose(q[0], a, atol=1e-12)


def test_umeyama_recovers_a_similarity():
    source = RNG.normal(size=(30, 3))
    R = random_pose()[:3, :3]
    target = 2.5 * source @ R.T + [1.0, -2.0, 3.0]
    s, found, t = umeyama(source, target)
    assert s == pytest.approx(2.5)
    np.testing.assert_allclose(found, R, atol=1e-10)
    np.testing.assert_allclose(t, [1, -2, 3], atol=1e-10)


def test_umeyama_never_mirrors():
    source = RNG.normal(size=(30, 3))
    _, R, _ = umeyama(source, source * [1, 1, -1])
    assert np.linalg.det(R) == pytest.approx(1.0)


def test_umeyama_refuses_two_points():
    with pytest.raises(ValueError, match="at least 3"):
        umeyama(np.zeros((2, 3)), np.zeros((2, 3)))
