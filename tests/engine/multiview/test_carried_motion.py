"""Motion in agreement with the frames around: what flickers is steadied, what flow cannot follow is left alone."""

import numpy as np
import pytest
from geo4d.geometry.camera import Intrinsics
from geo4d.multiview.carried_motion import in_agreement
from geo4d.multiview.flow import Match, turn
from geo4d.multiview.working_frames import WorkingFrames

W, H = 64, 48
LENS = Intrinsics(W, H, 60.0, 60.0, 31.0, 25.0)
SHIFT = 6  # pixels that everything moves to the right from one frame to the next


@pytest.fixture()
def frames():
    c2w = np.tile(np.eye(4), (3, 1, 1))
    c2w[2, :3, :3] = np.array([[0.96, 0, 0.28], [0, 1, 0], [-0.28, 0, 0.96]])  # looks another way
    return WorkingFrames(np.zeros((3, H, W, 3), np.uint8), [LENS] * 3, c2w, np.ones((H, W), bool))


def figure(column: int, probability: float) -> np.ndarray:
    out = np.full((H, W), 0.05, np.float32)
    out[10:40, column : column + 8] = probability
    return out


def match(j: int, shift: float, error: float = 0.0) -> Match:
    flow = np.zeros((H, W, 2), np.float32)
    flow[..., 0] = shift
    return Match(j, np.zeros(3), flow, np.full((H, W), error, np.float32))


def test_a_figure_that_one_frame_misses_is_told_by_the_other(frames):
    own = {0: figure(20, 0.1), 1: figure(20 + SHIFT, 0.95)}
    found = in_agreement(0, own, [match(1, SHIFT)], frames)
    assert found[15:35, 21:27].min() > 0.5
    assert found[:, :18].max() < 0.2 and found[:, 30:].max() < 0.2, "where it is now, not where it will be"
    alone = in_agreement(0, own, [], frames)
    assert alone[15:35, 21:27].max() < 0.5


def test_what_only_one_frame_sees_loses_and_untrusted_matches_say_nothing(frames):
    own = {0: figure(20, 0.7), 1: figure(20 + SHIFT, 0.02)}
    assert in_agreement(0, own, [match(1, SHIFT)], frames)[15:35, 21:27].max() < 0.5
    lost = in_agreement(0, own, [match(1, SHIFT, np.inf)], frames)
    assert np.array_equal(lost, in_agreement(0, own, [], frames))
    assert np.array_equal(in_agreement(0, own, [match(2, SHIFT)], frames), lost), (
        "a frame that is not there is not asked"
    )


def test_a_landing_is_where_the_turned_camera_sees_it(frames):
    """A far point, found without shift in the turned picture, is where frame 2's own camera projects it."""
    u, v = match(2, 0.0).in_half_precision().landing(frames, 0)
    ray = np.array([(30.5 - LENS.cx) / LENS.fx, (20.5 - LENS.cy) / LENS.fy, 1.0])
    seen = frames.c2w[2, :3, :3].T @ ray
    expected = seen[:2] / seen[2] * 60.0 + [LENS.cx, LENS.cy]
    assert np.allclose([u[20, 30] + 0.5, v[20, 30] + 0.5], expected, atol=1e-3)
    assert np.allclose(turn(frames, 0, 1), np.eye(3))
