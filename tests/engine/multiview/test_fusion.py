from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from geo4d.geometry.camera import Intrinsics, pixel_grid, unproject
from geo4d.multiview.fusion import Measurement, fuse, project_measurement
from geo4d.multiview.ground import Floor

LENS = Intrinsics(64, 48, 60.0, 60.0, 32.0, 24.0)


def measurement(depth, weight=1.0, moving=0.0):
    shape = (LENS.height, LENS.width)
    return Measurement(
        np.broadcast_to(np.float32(1) / depth, shape).astype(np.float32),
        np.full(shape, weight, dtype=np.float32),
        np.full(shape, moving, dtype=np.float32),
    )


def moved(x, y=0.0, z=0.0):
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def test_a_wall_seen_from_aside_lands_at_its_depth():
    d, weight = project_measurement(measurement(4.0), moved(0.5, 0, -1), np.eye(4), LENS, LENS)
    landed = weight > 0
    assert landed.mean() > 0.4
    np.testing.assert_allclose(1 / d[landed], 3.0, rtol=1e-5)


def test_of_points_in_one_pixel_the_nearest_is_kept():
    source = measurement(8.0)
    source.d[:, 20:30] = 1 / 2.0
    d, weight = project_measurement(source, moved(-0.4), np.eye(4), LENS, LENS)
    # The near stripe moves 12 pixels to the left, the far wall 3: the stripe hides what it passes.
    assert (weight[24, 9:17] > 0).all()
    np.testing.assert_allclose(1 / d[24, 9:17], 2.0, rtol=1e-5)


def test_what_moves_is_not_lent():
    source = measurement(4.0)
    source.moving[:, 20:30] = 0.9
    _, weight = project_measurement(source, np.eye(4), np.eye(4), LENS, LENS)
    assert (weight[:, 20:30] == 0).all() and (np.delete(weight, range(20, 30), axis=1) > 0).all()


def test_points_behind_the_camera_are_dropped():
    _, weight = project_measurement(measurement(1.0), np.eye(4), moved(0, 0, 2.0), LENS, LENS)
    assert not weight.any()


def test_what_several_agree_on_beats_a_stray():
    right = (np.full((48, 64), 1 / 5.0, np.float32), np.ones((48, 64), np.float32))
    d, weight = fuse(measurement(2.0, weight=0.8), [right, right])
    np.testing.assert_allclose(1 / d, 5.0, rtol=0.01)
    agreed, agreed_weight = fuse(measurement(5.0, weight=0.8), [right, right])
    np.testing.assert_allclose(1 / agreed, 5.0, rtol=1e-5)
    assert (agreed_weight > weight).all(), "a disagreement costs weight"


def test_nothing_measured_stays_nothing_and_a_mover_says_nothing_of_itself():
    empty = (np.zeros((48, 64), np.float32), np.zeros((48, 64), np.float32))
    assert not fuse(measurement(2.0, weight=0.0), [empty])[1].any()
    assert not fuse(measurement(2.0, weight=1.0, moving=1.0), [empty])[1].any()


def test_an_upright_figure_stands_on_its_contact():
    pitch = np.radians(20)
    pose = np.eye(4)
    pose[:3, :3] = [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
    floor = Floor(np.array([0.0, -1.0, 0.0]), -1.5)  # y down, the camera 1.5 above the floor
    d_floor = floor.inverse_depth(pose, LENS)
    contact = float(d_floor[40, 32])
    wall = floor.upright(contact, pose, LENS)
    points = unproject(pixel_grid(64, 48), 1 / wall.astype(float), pose, LENS)
    column = points[8:41, 32]
    np.testing.assert_allclose(column[:, 2], column[-1, 2], rtol=1e-3)  # one distance along the floor, at any height
    assert abs(column[-1, 1] - 1.5) < 0.02  # and its foot is on the floor
    assert wall[8, 32] > wall[40, 32], "looking down, the head is nearer in z-depth than the feet"


@pytest.mark.parametrize("helped", [False, True])
def test_every_frame_is_measured_once(monkeypatch, helped):
    from geo4d.multiview import depth, fusion, rounds
    from geo4d.multiview.working_frames import WorkingFrames

    rgb, c2w = np.zeros((40, 48, 64, 3), dtype=np.uint8), np.tile(np.eye(4), (40, 1, 1))
    maker = depth.DepthMaker.__new__(depth.DepthMaker)
    maker.frames = WorkingFrames(rgb, [LENS] * 40, c2w, np.ones((48, 64), dtype=bool))
    maker.measured, maker.network = {}, None
    maker.chosen, maker.brief, maker.motion = {}, {}, {}
    maker.times = np.arange(40) / 30
    maker.round = rounds.Round(maker.frames, maker.single, lambda j: maker.chosen[j])
    maker.helper, maker.under_way = ThreadPoolExecutor(1) if helped else None, {}
    asked, kept = [], []
    monkeypatch.setattr(
        depth.DepthMaker, "_measure", lambda self, i: asked.append(i) or (measurement(4.0, weight=0.0), [], [])
    )
    monkeypatch.setattr(depth.DepthMaker, "_anchor", lambda self, i, d, weight: None)
    for i in range(12, 40):
        maker.frame(i)
        kept.append(len(maker.measured) + len(maker.under_way))
    if helped:
        maker.helper.shutdown()
    assert sorted(asked) == list(range(max(0, 12 - rounds.REACH + min(fusion.OFFSETS)), 40)), "once each"
    assert max(kept) <= max(fusion.OFFSETS) - min(fusion.OFFSETS) + 1 + helped, "and not kept for ever"
    assert len(maker.round.swept) <= 2 * rounds.REACH + 1, "nor are the maps"


def test_only_what_was_filmed_about_then_is_asked():
    from geo4d.multiview import depth, fusion

    maker = depth.DepthMaker.__new__(depth.DepthMaker)
    for rate in (10, 30):
        maker.times = np.arange(100) / rate
        asked = maker._sources(50)
        assert asked == sorted(asked) and 50 in asked and len(asked) > 6
        assert max(abs(j - 50) for j in asked) <= fusion.SPAN_S * rate
    assert maker._sources(0)[0] == 0 and maker._sources(99)[-1] == 99
