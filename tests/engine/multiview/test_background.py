"""Motion in the light of what the seconds around show."""

import numpy as np
import pytest
from geo4d.multiview.background import Background
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.working_frames import WorkingFrames
from plane_world import F, H, W, World

TIMES = np.arange(F) * 0.4  # as if filmed slowly: each frame is a key frame
MIDDLE = F // 2


def filmed(world: World) -> WorkingFrames:
    rgb = np.stack(list(world.read((W, H))))
    return WorkingFrames(rgb, [world.lens.pinhole()] * F, world.c2w, np.ones((H, W), bool))


def maps_of(world: World, inside: float, elsewhere: float) -> dict[int, DepthFrame]:
    """True depth, and what is believed of the card's motion and of all else's."""
    maps = {}
    for i in range(F):
        depth, card = world.truth(i)
        believed = np.where(card, inside, elsewhere).astype(np.float32)
        maps[i] = DepthFrame(depth, np.ones_like(depth), believed)
    return maps


def found(world: World, frames: WorkingFrames, inside: float, elsewhere: float, i: int = MIDDLE):
    maps = maps_of(world, inside, elsewhere)
    return Background(frames, TIMES, maps).motion(i, maps[i].dynamic), world.truth(i)[1]


def test_what_hides_the_scene_behind_moves():
    world = World(card_step=0.25)
    motion, card = found(world, filmed(world), inside=0.35, elsewhere=0.05)
    assert motion.shape == (H, W) and motion.dtype == np.float32
    moves = motion > 0.5  # none of it was believed to
    assert (moves & card).sum() / (moves | card).sum() > 0.55
    assert (moves & card).sum() / moves.sum() > 0.85


def test_what_looks_like_the_scene_behind_rests_whatever_was_believed():
    world = World(card=False)
    motion, _ = found(world, filmed(world), inside=0.0, elsewhere=0.19)
    assert np.mean(motion < 0.05) > 0.85
    maps = maps_of(world, 0, 0.1)
    maps[MIDDLE].dynamic[:] = 0.8
    doubted = Background(filmed(world), TIMES, maps).motion(MIDDLE, maps[MIDDLE].dynamic)
    assert np.mean(doubted < 0.5) > 0.85


def test_a_change_of_light_is_no_motion():
    world = World(card=False)
    frames = filmed(world)
    frames.rgb = (frames.rgb * np.linspace(0.6, 1.0, F)[:, None, None, None]).astype(np.uint8)
    motion, _ = found(world, frames, inside=0.0, elsewhere=0.19)
    assert np.mean(motion > 0.5) < 0.03


@pytest.mark.parametrize("alone", [True, False])
def test_where_nobody_shows_the_place_all_stays_as_it_was(alone):
    world = World()
    frames, maps = filmed(world), maps_of(world, 0.4, 0.3)
    # Else nothing is known to rest, so nobody shows anything.
    have = {MIDDLE: maps[MIDDLE]} if alone else maps
    motion = Background(frames, TIMES, have).motion(MIDDLE, maps[MIDDLE].dynamic)
    np.testing.assert_allclose(motion, maps[MIDDLE].dynamic, atol=1e-5)


def test_frames_without_depth_are_no_obstacle():
    world = World()
    maps = maps_of(world, 0.1, 0.1)
    none = np.zeros((H, W), np.float32)
    maps[2] = DepthFrame(none, none, none)
    assert np.isfinite(Background(filmed(world), TIMES, maps).motion(3, maps[3].dynamic)).all()
