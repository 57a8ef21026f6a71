"""Banded normal equations against the dense ones, with and without leaves."""

import numpy as np
import pytest
from geo4d.alignment.banded import Banded


@pytest.mark.parametrize("leaves", [0, 15])
def test_same_as_dense(leaves):
    rng = np.random.default_rng(0)
    K, n, p, group = 4, 21, 2, 3
    J = np.zeros((600, K * n + p))
    for row in J:
        # An equation of one leaf, the rest of its block, the rest of the block before, and the border.
        k, leaf = rng.integers(K), rng.integers(5)
        row[k * n + leaf * group : k * n + (leaf + 1) * group] = rng.standard_normal(group)
        row[k * n + 15 : (k + 1) * n] = rng.standard_normal(6)
        if k:
            row[(k - 1) * n + 15 : k * n] = rng.standard_normal(6)
        row[K * n :] = rng.standard_normal(p)
    H, g = J.T @ J, J.T @ rng.standard_normal(len(J))
    system = Banded.zeros(K, n, p, leaves, group)
    every = np.arange(n)
    for i in range(K):
        for j in range(K):
            here = np.array([i]), every[None], np.array([j]), every[None]
            system.add(*here, H[None, i * n : (i + 1) * n, j * n : (j + 1) * n])
    system.border[:] = H[: K * n, K * n :].reshape(K, n, p)
    system.corner[:], system.right[:], system.right_corner[:] = (
        H[K * n :, K * n :],
        g[: K * n].reshape(K, n),
        g[K * n :],
    )
    x, common = system.solve(0.1)
    expected = np.linalg.solve(H + 0.1 * np.diag(np.diag(H)), g)
    np.testing.assert_allclose(np.concatenate([x.ravel(), common]), expected, rtol=1e-9, atol=1e-12)


def test_unknowns_without_equations_stay_zero():
    system = Banded.zeros(2, 3, 0)
    system.diagonal[0, 0, 0], system.right[0, 0] = 2.0, 4.0
    x, _ = system.solve(0.0)
    assert x.ravel().tolist() == [2.0, 0, 0, 0, 0, 0]
