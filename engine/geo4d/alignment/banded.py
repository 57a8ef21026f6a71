"""Normal equations of unknowns that only meet their neighbours in time, and a few that meet everything."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Banded:
    """K blocks of n unknowns, each coupled to the next block, and p unknowns coupled to all."""

    diagonal: np.ndarray  # (K, n, n), symmetric
    upper: np.ndarray  # (K, n, n): block k against block k + 1; the last one is not used
    border: np.ndarray  # (K, n, p)
    corner: np.ndarray  # (p, p)
    right: np.ndarray  # (K, n)
    right_corner: np.ndarray  # (p,)

    @classmethod
    def zeros(cls, K: int, n: int, p: int) -> "Banded":
        shapes = ((K, n, n), (K, n, n), (K, n, p), (p, p), (K, n), (p,))
        return cls(*(np.zeros(shape) for shape in shapes))

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
        K, n, p = self.border.shape
        every = np.arange(n)
        pivot = self.diagonal[:, every, every]
        extra = np.where(pivot > 0, damping * pivot, 1.0)
        D = self.diagonal.copy()
        D[:, every, every] += extra
        sides = np.concatenate([self.right[..., None], self.border], axis=2)
        eliminated = []  # D_k^-1 [upper_k, sides_k] after elimination
        for k in range(K):
            block = np.linalg.solve(D[k], np.concatenate([self.upper[k], sides[k]], axis=1))
            eliminated.append(block)
            if k + 1 < K:
                D[k + 1] -= self.upper[k].T @ block[:, :n]
                sides[k + 1] -= self.upper[k].T @ block[:, n:]
        x = np.empty((K, n, 1 + p))
        x[K - 1] = eliminated[K - 1][:, n:]
        for k in range(K - 2, -1, -1):
            x[k] = eliminated[k][:, n:] - eliminated[k][:, :n] @ x[k + 1]
        if not p:
            return x[..., 0], np.zeros(0)
        corner = self.corner + np.diag(np.where(np.diag(self.corner) > 0, damping * np.diag(self.corner), 1.0))
        corner = corner - np.einsum("kni,knj->ij", self.border, x[..., 1:])
        common = np.linalg.solve(corner, self.right_corner - np.einsum("kni,kn->i", self.border, x[..., 0]))
        return x[..., 0] - x[..., 1:] @ common, common
