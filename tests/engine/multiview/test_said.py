"""What a frame's map says of another frame's pixels."""

import numpy as np
import pytest
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.said import Said
from geo4d.multiview.working_frames import every_second
from plane_world import F, H, W

OWN, OTHER = F // 2, F // 2 + 2
TOLERANCE = 0.3


def said(world, factor=1.0, edge_px=3) -> Said:
    depth = (world.truth(OTHER)[0] * factor).astype(np.float32)
    return Said.of(OTHER, DepthFrame(depth, np.ones_like(depth), np.zeros_like(depth)), edge_px)


def test_the_same_scene_says_nothing_new(world, frames):
    depth = world.truth(OWN)[0].astype(np.float32)
    off, say = said(world).about(frames, OWN, depth, TOLERANCE)
    assert off.dtype == say.dtype == np.float32 and off.shape == say.shape == (H, W)
    assert np.mean(say > 0.95) > 0.85
    assert np.abs(off[say > 0.9]).max() < 0.05
    assert np.median(np.abs(off)) < 1e-3


def test_a_map_that_is_off_says_by_how_much_and_the_less_the_farther(world, frames):
    depth = world.truth(OWN)[0].astype(np.float32)
    off, say = said(world, 1.05).about(frames, OWN, depth, TOLERANCE)
    assert np.median(off) == pytest.approx(np.log(1.05), abs=2e-3)
    _, far = said(world, np.exp(TOLERANCE)).about(frames, OWN, depth, TOLERANCE)
    assert np.median(far[far > 0]) == pytest.approx(0.25, abs=0.01)
    assert np.median(say) > 0.9


def test_every_second_pixel_is_told_the_same(world, frames):
    depth = world.truth(OWN)[0].astype(np.float32)
    whole = said(world).about(frames, OWN, depth, TOLERANCE)
    halves = said(world).about(frames, OWN, depth, TOLERANCE, step=2)
    for a, b in zip(whole, halves, strict=True):
        assert np.mean(np.abs(every_second(a) - b) > 1e-3) < 0.002, "but for what lies right at the rim"


def test_what_moves_is_unknown_at_an_edge_or_out_of_sight_has_no_say(world, frames):
    depth = world.truth(OWN)[0].astype(np.float32)
    other, _ = world.truth(OTHER)
    still = np.zeros((H, W), np.float32)
    for unknown, moving in ((np.zeros_like(depth), still), (other.astype(np.float32), np.ones_like(still))):
        _, say = Said.of(OTHER, DepthFrame(unknown, still, moving), 3).about(frames, OWN, depth, TOLERANCE)
        assert not say.any()
    counts = said(world).map[..., 1]
    rim = np.abs(np.diff(np.log(other), axis=1)) > 0.2  # the card before the wall
    assert rim.sum() > 50 and not counts[:, 1:][rim].any() and counts.mean() > 0.9
    aside = type(frames)(frames.rgb, frames.lenses, frames.c2w.copy(), frames.inside)
    aside.c2w[OTHER, 0, 3] += 100
    assert not said(world).about(aside, OWN, depth, TOLERANCE)[1].any()
    nowhere, say = said(world).about(frames, OWN, np.zeros_like(depth), TOLERANCE)
    assert not say.any() and np.isfinite(nowhere).all()
