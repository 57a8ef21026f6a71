"""A small world of planes and its frames, as the depth stage reads them."""

import pytest
from geo4d.multiview.working_frames import read_working_frames
from plane_world import H, W, World


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def frames(world):
    return read_working_frames(world, world.solve(), (W, H))
