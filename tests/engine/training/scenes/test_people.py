"""People of procedural scenes."""

import numpy as np
import pytest
from geo4d.training.scenes.objects import Kit
from geo4d.training.scenes.parts import BOX, Group, PartList, PartTable
from geo4d.training.scenes.people import stander, walker

TIMES = np.linspace(0, 3, 13)


def table(seed: int, make) -> PartTable:
    parts = PartList()
    make(Kit(np.random.default_rng(seed), parts))
    return parts.table()


def corners(people: PartTable) -> np.ndarray:
    """Corners (T, P, 8, 3) of the boxes around the parts in the world."""
    R, centre = people.poses(TIMES)
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
    return centre[:, :, None] + np.einsum("tpij,pcj->tpci", R, people.half[:, None] * signs)


@pytest.mark.parametrize("seed", range(8))
def test_who_stands_has_both_feet_on_the_floor_and_only_the_rest_moves(seed):
    people = table(seed, lambda kit: stander(kit, np.array([1.0, 0.0, 2.0]), 0.7))
    where = corners(people)
    shoes = people.kind == BOX
    assert shoes.sum() == 2
    assert np.abs(where[:, shoes, :, 1].max(axis=(0, 2))).max() < 1e-6, "soles on the floor"
    assert where[..., 1].max() < 0.06, "and nothing far under it"
    legs = ~people.moves
    assert legs.sum() == 6 and np.ptp(where[:, legs], axis=0).max() < 1e-9
    assert np.ptp(where[:, people.moves], axis=0).max(axis=(1, 2)).min() > 0.01
    assert -2.1 < where[..., 1].min() < -1.3


@pytest.mark.parametrize("seed", range(4))
def test_limbs_hang_together(seed):
    people = table(seed, lambda kit: stander(kit, np.zeros(3), 0.0))
    _, centre = people.poses(TIMES)
    reach = people.half.max(axis=1)
    gap = np.linalg.norm(centre[:, :, None] - centre[:, None], axis=-1) - reach[:, None] - reach[None]
    touches = (gap < 0.02).all(axis=0)
    joined = np.linalg.matrix_power(touches.astype(int), len(touches)) > 0
    assert joined.all(), "from any part there is a way to every other"


def test_who_walks_moves_as_a_whole():
    people = table(3, lambda kit: walker(kit, Group(np.zeros(3), 0.0, np.array([0.0, 0.0, 1.0])), 0.5))
    assert people.moves.all()
    assert corners(people)[..., 1].max() < 0.1
