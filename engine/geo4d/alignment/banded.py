"""Normal equations of unknowns that only meet their neighbours in time, and a few that meet everything."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Banded:
    """K blocks of n unknowns, each coupled to the next block, and p unknowns coupled to all.

    The first ``leaves`` of each block come in groups of ``group`` that meet neither each other nor anything of the
    next block: frames, which meet their windows alone. They are eliminated first, in closed form.
    """

    diagonal: np.ndarray  # (K, n, n), symmetric
    upper: np.ndarray  # (K, n, n): block k against block k + 1; the last one is not used
    border: np.ndarray  # (K, n, p)
    corner: np.ndarray  # (p, p)
    right: np.ndarray  # (K, n)
    right_corner: np.ndarray  # (p,)
    leaves: int = 0
    group: int = 0

    @classmethod
    def zeros(cls, K: int, n: int, p: int, leaves: int = 0, group: int = 0) -> "Banded":
        shapes = ((K, n, n), (K, n, n), (K, n, p), (p, p), (K, n), (p,))
        return cls(*(np.zeros(shape) for shape in shapes), leaves, group)

    def add(self, block_i, index_i, block_j, index_j, values: np.ndarray) -> None:
        """Add values (B, a, b) between unknowns ``index_i`` (B, a) and ``index_j`` (B, b) of blocks (B,).

        What lies below the diagonal blocks is dropped: the caller adds both (i, j) and (j, i).
        """
        for step, target in ((0, self.diagonal), (1, self.upper)):
            chosen = np.flatnonzero(block_j - block_i == step)
            if len(chosen):
                where = (
                    block_i[chosen][:, None, None],
                    index_i[chosen][:, :, None],
                    index_j[chosen][:, None, :],
                )
                np.add.at(target, where, values[chosen])

    def solve(self, damping: float) -> tuple[np.ndarray, np.ndarray]:
        """Solution (K, n) and (p,) of ``(H + damping diag H) x = right``. Unknowns without any equation are 0."""
        n, p = self.border.shape[1:]
        every = np.arange(n)
        pivot = self.diagonal[:, every, every]
        D = self.diagonal.copy()
        D[:, every, every] += np.where(pivot > 0, damping * pivot, 1.0)
        sides = np.concatenate([self.right[..., None], self.border], axis=2)
        x = _without_leaves(D, self.upper, sides, self.leaves, self.group)
        if not p:
            return x[..., 0], np.zeros(0)
        corner = self.corner + np.diag(np.where(np.diag(self.corner) > 0, damping * np.diag(self.corner), 1.0))
        corner = corner - np.einsum("kni,knj->ij", self.border, x[..., 1:])
        common = np.linalg.solve(corner, self.right_corner - np.einsum("kni,kn->i", self.border, x[..., 0]))
        return x[..., 0] - x[..., 1:] @ common, common


def _without_leaves(D: np.ndarray, upper: np.ndarray, sides: np.ndarray, L: int, q: int) -> np.ndarray:
    """Solution (K, n, s) for right sides (K, n, s); leaves are eliminated block by block of their own (Schur)."""
    if not L:
        return _tridiagonal(D, upper, sides)
    K, count = len(D), L // q
    index = np.arange(L).reshape(count, q)
    inverse = np.linalg.inv(D[:, index[:, :, None], index[:, None, :]])

    def divided(values: np.ndarray) -> np.ndarray:
        return (inverse @ values.reshape(K, count, q, values.shape[2])).reshape(values.shape)

    own, side = D[:, :L, L:], sides[:, :L]
    before = np.zeros_like(own)  # leaves against what stays of the block before
    before[1:] = np.swapaxes(upper[:-1, L:, :L], 1, 2)
    by_own, by_before, by_side = divided(own), divided(before), divided(side)
    own_t, before_t = np.swapaxes(own, 1, 2), np.swapaxes(before, 1, 2)
    rest, rest_sides = D[:, L:, L:] - own_t @ by_own, sides[:, L:] - own_t @ by_side
    rest_upper = upper[:, L:, L:].copy()
    rest[:-1] -= (before_t @ by_before)[1:]
    rest_sides[:-1] -= (before_t @ by_side)[1:]
    rest_upper[:-1] -= (before_t @ by_own)[1:]
    x = _tridiagonal(rest, rest_upper, rest_sides)
    leaves = by_side - by_own @ x
    leaves[1:] -= by_before[1:] @ x[:-1]
    return np.concatenate([leaves, x], axis=1)


def _tridiagonal(D: np.ndarray, upper: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Solution (K, n, s) of a symmetric block tridiagonal system."""
    K, n, _ = D.shape
    D, sides = D.copy(), sides.copy()
    eliminated = []  # D_k^-1 [upper_k, sides_k] after elimination
    for k in range(K):
        block = np.linalg.solve(D[k], np.concatenate([upper[k], sides[k]], axis=1))
        eliminated.append(block)
        if k + 1 < K:
            D[k + 1] -= upper[k].T @ block[:, :n]
            sides[k + 1] -= upper[k].T @ block[:, n:]
    x = np.empty_like(sides)
    x[K - 1] = eliminated[K - 1][:, n:]
    for k in range(K - 2, -1, -1):
        x[k] = eliminated[k][:, n:] - eliminated[k][:, :n] @ x[k + 1]
    return x
