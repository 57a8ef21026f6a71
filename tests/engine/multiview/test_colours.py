"""Movers completed by their colours."""

import numpy as np
import pytest
from geo4d.geometry.camera import Intrinsics
from geo4d.multiview.colours import Colours
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.working_frames import WorkingFrames

F, H, W = 7, 120, 160
TIMES = np.arange(F) * 0.2  # each frame is a key frame
MIDDLE = F // 2
LENS = Intrinsics(W, H, 130.0, 130.0, W / 2, H / 2)
SHIRT, TROUSERS, MEADOW, SKY = (210, 140, 40), (25, 25, 30), (90, 120, 70), (150, 180, 220)
TRUNK, LEGS = (slice(20, 60), slice(70, 95)), (slice(60, 80), slice(70, 95))


def filmed(trousers=TROUSERS) -> WorkingFrames:
    """A figure before meadow and sky that steps a pixel aside from frame to frame."""
    rng = np.random.default_rng(0)
    rgb = np.zeros((F, H, W, 3))
    rgb[:, :50], rgb[:, 50:] = SKY, MEADOW
    for i in range(F):
        for (rows, columns), colour in ((TRUNK, SHIRT), (LEGS, trousers)):
            rgb[i][rows, columns.start + i : columns.stop + i] = colour
    rgb += rng.normal(0, 3, rgb.shape)
    return WorkingFrames(np.clip(rgb, 0, 255).astype(np.uint8), [LENS] * F, np.tile(np.eye(4), (F, 1, 1)), None)


def found(i: int, *parts: tuple[slice, slice], inside: float = 0.95) -> DepthFrame:
    """What is believed of frame i: that some parts of the figure move, and that the rest of it might."""
    moving = np.full((H, W), 0.1, np.float32)
    for rows, columns in (TRUNK, LEGS):
        moving[rows, columns.start + i : columns.stop + i] = 0.3
    for rows, columns in parts:
        moving[rows, columns.start + i : columns.stop + i] = inside
    return DepthFrame(np.ones((H, W), np.float32), moving, moving)


def figure(i: int) -> np.ndarray:
    return found(i, TRUNK, LEGS).dynamic > 0.5


def overlap(motion: np.ndarray, true: np.ndarray) -> float:
    moves = motion > 0.5
    return (moves & true).sum() / (moves | true).sum()


def test_a_figure_found_in_part_becomes_whole():
    maps = {i: found(i, (slice(20, 62), TRUNK[1])) for i in range(F)}
    motion = Colours(filmed(trousers=SHIRT), TIMES, maps).motion(MIDDLE, maps[MIDDLE].dynamic)
    assert motion.shape == (H, W) and motion.dtype == np.float32
    assert overlap(maps[MIDDLE].dynamic, figure(MIDDLE)) < 0.75
    # Its feet are out of reach of what was found, not of what that has become.
    assert overlap(motion, figure(MIDDLE)) > 0.9


def test_legs_that_rest_are_known_from_frames_in_which_they_move():
    maps = {i: found(i, TRUNK) for i in range(F)}
    alone = Colours(filmed(), TIMES, maps).motion(MIDDLE, maps[MIDDLE].dynamic)
    assert (alone[LEGS[0]] < 0.5).all()  # nobody ever saw trousers move
    maps |= {i: found(i, TRUNK, LEGS) for i in (1, 5)}
    motion = Colours(filmed(), TIMES, maps).motion(MIDDLE, maps[MIDDLE].dynamic)
    assert overlap(motion, figure(MIDDLE)) > 0.85


def test_what_looks_like_the_surroundings_is_not_added():
    maps = {i: found(i, TRUNK) for i in range(F)}
    motion = Colours(filmed(trousers=MEADOW), TIMES, maps).motion(MIDDLE, maps[MIDDLE].dynamic)
    assert overlap(motion, found(MIDDLE, TRUNK).dynamic > 0.5) > 0.97


def test_what_was_invented_around_a_figure_goes():
    blob = (slice(20, 60), slice(95, 105))
    maps = {i: found(i, TRUNK, LEGS) for i in range(F)}
    own = found(MIDDLE, TRUNK, LEGS).dynamic
    own[blob[0], blob[1].start + MIDDLE : blob[1].stop + MIDDLE] = 0.7
    motion = Colours(filmed(), TIMES, maps).motion(MIDDLE, own)
    assert overlap(own, figure(MIDDLE)) < 0.85
    assert overlap(motion, figure(MIDDLE)) > 0.95


def test_the_same_colours_far_away_are_another_matter():
    frames = filmed()
    frames.rgb[:, 30:50, 5:20] = SHIRT
    maps = {i: found(i, TRUNK, LEGS) for i in range(F)}
    motion = Colours(frames, TIMES, maps).motion(MIDDLE, maps[MIDDLE].dynamic)
    np.testing.assert_allclose(motion[:, :25], maps[MIDDLE].dynamic[:, :25], atol=1e-6)


@pytest.mark.parametrize("inside", [0.6, 0.4])
def test_where_nothing_surely_moves_all_stays_as_it_was(inside):
    maps = {i: found(i, TRUNK, inside=inside) for i in range(F)}
    motion = Colours(filmed(), TIMES, maps).motion(MIDDLE, maps[MIDDLE].dynamic)
    np.testing.assert_allclose(motion, maps[MIDDLE].dynamic, atol=1e-6)


def test_a_frame_that_nobody_is_near_knows_its_own_colours():
    maps = {MIDDLE: found(MIDDLE, (slice(20, 45), TRUNK[1]))}
    motion = Colours(filmed(), TIMES, maps).motion(MIDDLE, maps[MIDDLE].dynamic)
    assert overlap(motion, found(MIDDLE, TRUNK).dynamic > 0.5) > 0.9
