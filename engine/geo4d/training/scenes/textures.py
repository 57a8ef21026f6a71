"""Procedural texture atlases: 1/f noise, cells, stripes, checks, bricks, glyph-like marks, speckle; with mip levels."""

import numpy as np
import torch

from .objects import TEXTURES

SIZE = 256  # texels a side at the finest level
LEVELS = 8


def make_atlas(rng: np.random.Generator) -> torch.Tensor:
    """Textures of one scene, float32 (TEXTURES, SIZE, SIZE, 3) linear colour 0..1, each seamless."""
    makers = (_noise, _noise, _stripes, _checks, _cells, _glyphs, _bricks, _speckle)
    images = np.empty((TEXTURES, SIZE, SIZE, 3), np.float32)
    for k in range(TEXTURES):
        field = makers[k % len(makers)](rng)
        images[k] = _coloured(rng, field)
    return torch.from_numpy(images)


def mip_levels(atlas: torch.Tensor) -> list[torch.Tensor]:
    """The atlas (..., S, S, 3) and its halvings down to 2 x 2."""
    lead = atlas.shape[:-3]
    level = atlas.reshape(-1, *atlas.shape[-3:]).permute(0, 3, 1, 2)
    levels = [level]
    for _ in range(LEVELS - 1):
        levels.append(torch.nn.functional.avg_pool2d(levels[-1], 2))
    return [x.permute(0, 2, 3, 1).reshape(*lead, x.shape[2], x.shape[3], 3) for x in levels]


def _coloured(rng: np.random.Generator, field: np.ndarray) -> np.ndarray:
    """A field (S, S) in 0..1 between two or three colours, with a fine grain over it."""
    base = rng.uniform(0.04, 0.75, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.05, 0.8))
    other = np.clip(
        base + rng.uniform(0.2, 0.8) * (1 if base.mean() < rng.uniform(0.2, 0.6) else -1) * rng.uniform(0.4, 1, 3),
        0.02,
        0.95,
    )
    colour = base + field[..., None] * (other - base)
    if rng.random() < 0.4:
        third = rng.uniform(0.02, 0.9, 3)
        colour = colour + (_one_over_f(rng, 1.2) > rng.uniform(0.55, 0.8))[..., None] * 0.7 * (third - colour)
    grain = (_one_over_f(rng, rng.uniform(0.3, 1.0)) - 0.5) * rng.uniform(0.0, 0.35)
    return np.clip(colour * (1 + grain[..., None]), 0.01, 1).astype(np.float32)


def _one_over_f(rng: np.random.Generator, power: float) -> np.ndarray:
    """Noise with amplitude 1/f^power, seamless, stretched to 0..1 (S, S)."""
    fy, fx = np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None]
    f = np.hypot(fx, fy)
    f[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) / f**power
    field = np.fft.irfft2(spectrum, (SIZE, SIZE))
    low, high = np.percentile(field, [1, 99])
    return np.clip((field - low) / (high - low), 0, 1)


def _noise(rng) -> np.ndarray:
    field = _one_over_f(rng, rng.uniform(0.5, 1.8))
    return field if rng.random() < 0.7 else (field > rng.uniform(0.35, 0.65)).astype(float)


def _warped(rng, amount: float) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates in 0..1, bent by smooth noise."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    return x + amount * (_one_over_f(rng, 2) - 0.5), y + amount * (_one_over_f(rng, 2) - 0.5)


def _stripes(rng) -> np.ndarray:
    x, y = _warped(rng, rng.choice([0.0, 0.08]))
    a, b = rng.integers(0, 12), rng.integers(0, 12)
    wave = np.sin(2 * np.pi * ((a or 5) * x + b * y))
    return (wave > rng.uniform(-0.7, 0.7)).astype(float) if rng.random() < 0.5 else 0.5 + 0.5 * wave


def _checks(rng) -> np.ndarray:
    x, y = _warped(rng, rng.choice([0.0, 0.05]))
    a, b = rng.integers(2, 9, 2)
    return (((np.floor(2 * a * x) + np.floor(2 * b * y)) % 2) > 0).astype(float)


def _cells(rng) -> np.ndarray:
    n = int(rng.integers(12, 90))
    seeds = rng.uniform(0, 1, (n, 2))
    y, x = np.mgrid[: SIZE // 2, : SIZE // 2] / (SIZE // 2)
    nearest, second = np.full(x.shape, 9.0), np.full(x.shape, 9.0)
    owner = np.zeros(x.shape, int)
    for k, (sx, sy) in enumerate(seeds):
        dx, dy = np.abs(x - sx), np.abs(y - sy)
        d = np.hypot(np.minimum(dx, 1 - dx), np.minimum(dy, 1 - dy))
        second = np.minimum(second, np.maximum(d, nearest))
        owner = np.where(d < nearest, k, owner)
        nearest = np.minimum(nearest, d)
    kind = rng.integers(3)
    if kind == 0:
        field = rng.uniform(0, 1, n)[owner]
    elif kind == 1:
        field = np.clip((second - nearest) * np.sqrt(n) * 2, 0, 1)
    else:
        field = np.clip(nearest * np.sqrt(n) * 1.5, 0, 1)
    return np.kron(field, np.ones((2, 2)))


def _glyphs(rng) -> np.ndarray:
    """Rows of marks made of strokes, like writing that says nothing."""
    page = np.zeros((SIZE, SIZE))
    rows = int(rng.integers(3, 14))
    step = SIZE // rows
    pen = max(1, step // 8)
    for row in range(rows):
        x = int(rng.integers(0, step))
        while x < SIZE - step // 2:
            width = int(rng.uniform(0.3, 0.8) * step)
            if rng.random() < 0.85:
                top, bottom = row * step + step // 6, row * step + int(0.8 * step)
                for _ in range(rng.integers(2, 5)):
                    if rng.random() < 0.5:
                        at = x + int(rng.integers(0, max(width, 1)))
                        page[top:bottom, at : at + pen] = 1
                    else:
                        at = int(rng.integers(top, max(bottom, top + 1)))
                        page[at : at + pen, x : x + width] = 1
            x += width + pen + 1
    return page if rng.random() < 0.5 else 1 - page


def _bricks(rng) -> np.ndarray:
    """Courses of bricks, tiles or windows."""
    rows, columns = rng.integers(3, 17), rng.integers(2, 9)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    row = np.floor(y * rows)
    shift = 0.5 * (row % 2) if rng.random() < 0.6 else 0.0
    u, v = (x * columns + shift) % 1, (y * rows) % 1
    column = np.floor(x * columns + shift) % columns
    tone = rng.uniform(0.3, 1, (int(rows), int(columns)))[row.astype(int), column.astype(int)]
    gap = rng.uniform(0.03, 0.3)
    return np.where((u > gap) & (v > gap), tone, 0.0)


def _speckle(rng) -> np.ndarray:
    field = rng.random((SIZE // 2, SIZE // 2)) < rng.uniform(0.02, 0.4)
    return np.kron(field.astype(float), np.ones((2, 2)))
