"""Windows whose cameras were rejected keep what they saw of near and far, and no more than they know."""

import cv2
import numpy as np
import pytest
from geo4d.models.prediction import Prediction
from geo4d.multiview.window_depth import WindowDepth, inverse_depth
from slanted_plane import SIZE, F, scene

WINDOWS = (np.arange(0, 4), np.arange(2, F))


def windows(maps, kind="depth", noise=0.0):
    """Overlapping windows of the true plane, each in its own scale and shift of inverse depth."""
    rng, out = np.random.default_rng(0), []
    for number, positions in enumerate(WINDOWS):
        true = np.stack([maps.true(int(i)) for i in positions])
        inverse = (1 / true - 0.02 * number) / (2.0 + number)
        inverse *= np.exp(noise * rng.standard_normal(inverse.shape))
        values = {"depth": 1 / inverse, "disparity": inverse}.get(kind)
        named = {kind: values.astype(np.float32)} if values is not None else {}
        out.append(Prediction(positions=positions, width=SIZE[0], height=SIZE[1], **named))
    return out


@pytest.mark.parametrize("kind", ["depth", "disparity"])
def test_windows_of_other_scales_are_brought_to_the_points(kind):
    solve, tracks, maps = scene()
    found = WindowDepth(windows(maps, kind), solve, tracks, maps)
    assert found.usable
    for i in range(F):
        frame = found.frame(i)
        assert np.abs(frame.depth / maps.true(i) - 1).max() < 0.01
        assert frame.confidence.min() > 0.8
        assert frame.depth.dtype == frame.confidence.dtype == np.float32


def test_what_is_not_known_is_evened_out_and_said():
    """Depth that has nothing to do with the scene becomes one depth, never worse than that, with little confidence."""
    solve, tracks, maps = scene()
    wild = windows(maps)
    rng = np.random.default_rng(1)
    for window in wild:
        fields = [cv2.GaussianBlur(rng.standard_normal(SIZE[::-1]), (0, 0), 6) for _ in range(len(window))]
        window.depth = np.exp(5.0 * np.stack(fields)).astype(np.float32)
    found = WindowDepth(wild, solve, tracks, maps)
    for i in (0, 3, 5):
        frame, true = found.frame(i), maps.true(i)
        constant = np.abs(np.median(true) / true - 1).mean()
        assert np.abs(frame.depth / true - 1).mean() < 1.4 * constant
        assert frame.confidence.max() < 0.6


def test_a_view_through_a_window_does_not_push_the_room_away():
    """A third of the points lies at the horizon, where the model saw the wall: the room keeps its place."""
    solve, tracks, maps = scene()
    rays = tracks.xyz[::3] - solve.c2w[0, :3, 3]
    tracks.xyz[::3] = solve.c2w[0, :3, 3] + 8 * rays
    made = windows(maps)
    x = np.linspace(1.0, 1.1, SIZE[0], dtype=np.float32)  # of the slant it saw next to nothing
    for window in made:
        window.depth = np.broadcast_to(x, window.depth.shape).copy()
    found = WindowDepth(made, solve, tracks, maps)
    for i in (0, 3, 5):
        assert np.abs(found.frame(i).depth / maps.true(i) - 1).mean() < 0.3


def test_depth_beyond_the_points_stays_near_theirs():
    """Few and alike points do not say how far the rest is: it must not fly off to the horizon."""
    solve, tracks, maps = scene()
    bent = windows(maps)
    for window in bent:
        window.depth = np.where(window.depth > np.median(window.depth), 50 * window.depth, window.depth**0.2)
    found = WindowDepth(bent, solve, tracks, maps)
    true = np.stack([maps.true(i) for i in range(F)])
    depth = np.stack([found.frame(i).depth for i in range(F)])
    assert depth.max() < 2.5 * true.max() and depth.min() > true.min() / 2.5


def test_a_window_without_points_takes_its_neighbours_scale():
    solve, tracks, maps = scene()
    first = tracks.frame < 2
    tracks.track, tracks.frame, tracks.xy = tracks.track[first], tracks.frame[first], tracks.xy[first]
    made = windows(maps)
    made[1].depth *= 2.0 / 3.0  # of the first window's scale
    found = WindowDepth(made, solve, tracks, maps)
    assert found.usable
    assert np.abs(found.frame(5).depth / maps.true(5) - 1).max() < 0.2


def test_nothing_predicted_or_no_points_is_not_usable():
    solve, tracks, maps = scene()
    assert not WindowDepth(windows(maps, kind="nothing"), solve, tracks, maps).usable
    still, tracks, maps = scene("static")
    assert not WindowDepth(windows(maps), still, tracks, maps).usable


def test_points_give_the_z_of_each_camera():
    c2w = np.tile(np.eye(4), (2, 1, 1))
    c2w[1, 2, 3] = 1.0
    points = np.zeros((2, 3, 4, 3), np.float32)
    points[..., 2] = 5.0
    points[0, 0, 0] = np.nan
    inverse = inverse_depth(Prediction(np.arange(2), 4, 3, points=points, c2w=c2w))
    assert inverse[0, 0, 0] == 0 and inverse[0, 1, 1] == pytest.approx(0.2) and inverse[1, 0, 0] == pytest.approx(0.25)
