"""Surface pictures made with NumPy: float32 (H, W, 3) in sRGB 0..1, tileable where a surface repeats them.

Row 0 is the *bottom* row, as in Blender's images.
"""

import numpy as np


def cloud(size: int, slope: float, rng: np.random.Generator, stretch: float = 1.0) -> np.ndarray:
    """Tileable 1/f^slope noise (size, size) in 0..1; ``stretch`` > 1 makes it long along x, as wood grain."""
    fy = np.fft.fftfreq(size)[:, None]
    fx = np.fft.rfftfreq(size)[None, :] * stretch
    f = np.sqrt(fx * fx + fy * fy)
    f[0, 0] = 1.0
    white = np.fft.rfft2(rng.standard_normal((size, size)))
    noise = np.fft.irfft2(white / f**slope, (size, size))
    low, high = np.percentile(noise, [0.5, 99.5])
    return np.clip((noise - low) / (high - low), 0, 1).astype(np.float32)


def tinted(value: np.ndarray, dark, light) -> np.ndarray:
    """Grey (H, W) to colour between two sRGB colours."""
    return (np.asarray(dark) + value[..., None] * (np.asarray(light) - np.asarray(dark))).astype(np.float32)


INKS = np.array(
    [
        (0.13, 0.18, 0.32), (0.62, 0.16, 0.12), (0.80, 0.58, 0.20), (0.38, 0.42, 0.20),
        (0.15, 0.42, 0.44), (0.88, 0.84, 0.72), (0.10, 0.10, 0.11), (0.42, 0.10, 0.16),
        (0.55, 0.56, 0.55), (0.42, 0.62, 0.76), (0.84, 0.44, 0.22), (0.30, 0.22, 0.16),
    ]
)  # fmt: skip
"""Colours of print and cloth, sRGB."""


def muted(rng, low=0.0, high=1.0) -> np.ndarray:
    """Random printed colour (3,) near one of :data:`INKS`, its brightness between ``low`` and ``high``."""
    ink = INKS[rng.integers(0, len(INKS))] + rng.normal(0, 0.04, 3)
    bright = ink.mean()
    return np.clip(ink * np.clip(bright, low, high) / max(bright, 0.05), 0.02, 0.98)


def courses(size, rows, columns, joint, shift, rng):
    """Running-bond layout: per-pixel stone number (size, size) and joint mask; ``joint`` in parts of a row."""
    y, x = np.mgrid[0:size, 0:size] / size
    row = np.floor(y * rows).astype(int)
    u = x * columns + (row % 2) * shift
    column = np.floor(u).astype(int) % columns
    wobble = (cloud(size, 1.2, rng) - 0.5) * joint * 0.8
    fy = np.minimum(y * rows % 1, 1 - y * rows % 1) + wobble
    fu = np.minimum(u % 1, 1 - u % 1) * rows / columns + wobble
    gap = np.minimum(fy, fu * (columns / rows) * (rows / columns)) < joint / 2
    return row * columns + column, gap


def bricks(
    rng, size=1024, rows=16, columns=6, dark=(0.40, 0.17, 0.12), light=(0.66, 0.36, 0.26), mortar=(0.66, 0.63, 0.58)
):
    """Brick wall; one tile is ``rows`` courses high."""
    stone, gap = courses(size, rows, columns, 0.13, 0.5, rng)
    tint = rng.random(rows * columns)[stone]
    grain = cloud(size, 0.7, rng)
    soot = cloud(size, 1.8, rng)
    picture = tinted(np.clip(0.65 * tint + 0.35 * grain, 0, 1), dark, light) * (0.78 + 0.3 * soot)[..., None]
    joint = tinted(0.5 * grain + 0.5 * soot, np.asarray(mortar) * 0.7, mortar)
    return np.where(gap[..., None], joint, picture).astype(np.float32)


def paving(rng, size=1024, rows=6, columns=4, dark=(0.40, 0.39, 0.37), light=(0.66, 0.63, 0.58)):
    """Worn concrete slabs with dirt and spots of chewing gum."""
    stone, gap = courses(size, rows, columns, 0.035, 0.5, rng)
    tint = rng.random(rows * columns)[stone]
    speckle = rng.random((size, size)).astype(np.float32)
    dirt = cloud(size, 1.6, rng)
    picture = tinted(np.clip(0.3 * tint + 0.45 * dirt + 0.25 * speckle, 0, 1), dark, light)
    picture = spots(picture, rng, 90, 4, 9, 0.55)
    return np.where(gap[..., None], picture * 0.5, picture).astype(np.float32)


def spots(picture, rng, count, small, large, factor):
    """Darken (or lighten) ``count`` round blots of ``small``..``large`` pixels radius."""
    size = picture.shape[0]
    picture = picture.copy()
    for x, y, r in zip(
        rng.integers(0, size, count), rng.integers(0, size, count), rng.uniform(small, large, count), strict=True
    ):
        y0, y1, x0, x1 = int(max(y - r, 0)), int(y + r + 1), int(max(x - r, 0)), int(x + r + 1)
        patch = picture[y0:y1, x0:x1]
        yy, xx = np.mgrid[y0 : y0 + patch.shape[0], x0 : x0 + patch.shape[1]]
        inside = (yy - y) ** 2 + ((xx - x) * 0.9) ** 2 < r * r
        patch[inside] *= factor
    return np.clip(picture, 0, 1)


def tiles(rng, size=1024, count=8, first=(0.80, 0.78, 0.72), second=(0.35, 0.42, 0.44)):
    """Checkered floor tiles with marbling and grout."""
    stone, gap = courses(size, count, count, 0.05, 0.0, rng)
    checker = ((stone // count + stone % count) % 2).astype(np.float32)
    vein = np.abs(cloud(size, 1.5, rng) - 0.5) * 2
    picture = tinted(checker, first, second) * (0.75 + 0.2 * vein + 0.1 * rng.random(count * count)[stone])[..., None]
    return np.where(gap[..., None], 0.36, picture).astype(np.float32)


def planks(rng, size=1024, rows=8, dark=(0.36, 0.22, 0.12), light=(0.68, 0.48, 0.30)):
    """Wooden floor boards along x, with grain and knots."""
    y, x = np.mgrid[0:size, 0:size] / size
    row = np.floor(y * rows).astype(int)
    u = x * 2 + rng.random(rows)[row]
    board = (row * 2 + np.floor(u).astype(int) % 2) % (rows * 2)
    gap = (np.minimum(y * rows % 1, 1 - y * rows % 1) < 0.025) | (np.minimum(u % 1, 1 - u % 1) < 0.002)
    grain = cloud(size, 1.1, rng, stretch=14)
    grain = grain[(np.arange(size)[:, None] + 97 * board) % size, np.arange(size)[None, :]]
    figure = np.sin(40 * cloud(size, 2.2, rng, stretch=6) + board) * 0.5 + 0.5
    value = np.clip(0.45 * rng.random(rows * 2)[board] + 0.4 * grain + 0.18 * figure, 0, 1)
    picture = spots(tinted(value, dark, light), rng, 24, 4, 10, 0.6)
    return np.where(gap[..., None], picture * 0.35, picture).astype(np.float32)


def wood(rng, size=512, dark=(0.30, 0.18, 0.10), light=(0.56, 0.38, 0.22)):
    """Grain of one piece of wood along x."""
    grain = cloud(size, 1.2, rng, stretch=12)
    rings = np.sin(30 * cloud(size, 2.3, rng, stretch=7)) * 0.5 + 0.5
    return tinted(0.7 * grain + 0.3 * rings, dark, light)


def plaster(rng, size=512, colour=(0.86, 0.84, 0.78), contrast=0.10):
    """Painted wall: nearly plain, faint roller marks and stains."""
    value = 0.6 * cloud(size, 1.7, rng) + 0.4 * cloud(size, 0.5, rng)
    return np.clip(np.asarray(colour) * (1 - contrast + contrast * value[..., None]), 0, 1).astype(np.float32)


def asphalt(rng, size=1024):
    """Road surface: bright grains, oil stains, tar seams and cracks."""
    grains = rng.random((size, size)).astype(np.float32)
    grains = (grains + np.roll(grains, 1, 0) + np.roll(grains, 1, 1)) / 3
    stain = cloud(size, 2.0, rng)
    value = np.clip(0.55 * grains + 0.45 * stain, 0, 1)
    picture = tinted(value, (0.19, 0.19, 0.20), (0.50, 0.49, 0.48))
    crack = np.abs(cloud(size, 1.9, rng) - 0.5) < 0.004
    picture[crack] *= 0.45
    patch = (slice(size // 8, size // 3), slice(size // 5, size // 2))
    picture[patch] *= 0.72
    return spots(picture, rng, 60, 3, 14, 0.65)


def grass(rng, size=1024):
    """Lawn: short strokes of several greens, dry patches, clover."""
    value = 0.5 * cloud(size, 0.9, rng) + 0.25 * cloud(size, 0.6, rng, stretch=0.3) + 0.25 * cloud(size, 2.0, rng)
    picture = tinted(np.clip((value - 0.3) * 2.2, 0, 1), (0.13, 0.19, 0.06), (0.52, 0.58, 0.26))
    dry = np.clip(cloud(size, 2.0, rng) * 2.4 - 1.5, 0, 1)[..., None]
    return (picture * (1 - 0.5 * dry) + 0.5 * dry * np.asarray([0.62, 0.55, 0.34])).astype(np.float32)


def leaves(rng, size=256, dark=(0.10, 0.20, 0.06), light=(0.42, 0.56, 0.20)):
    """Foliage tints; leaves take single texels of it."""
    return tinted(0.5 * cloud(size, 1.0, rng) + 0.5 * rng.random((size, size)), dark, light)


def bark(rng, size=512):
    """Furrowed bark, long along y."""
    return tinted(cloud(size, 1.1, rng, stretch=0.15), (0.14, 0.11, 0.08), (0.50, 0.43, 0.35))


def fabric(rng, base, accent, size=512, stripes=10, pattern="stripes"):
    """Cloth: weave, with stripes, checks or a floral print."""
    y, x = np.mgrid[0:size, 0:size] / size
    weave = 0.82 + 0.12 * cloud(size, 0.4, rng) + 0.1 * cloud(size, 1.8, rng)
    if pattern == "stripes":
        mask = (y * stripes % 1) < 0.42
    elif pattern == "checks":
        mask = ((x * stripes % 1) < 0.35) ^ ((y * stripes % 1) < 0.35)
    else:
        mask = np.zeros((size, size), bool)
        for cx, cy, r in rng.random((stripes * 6, 3)):
            radius = 0.02 + 0.03 * r
            petals = 5 + int(r * 3)
            dx, dy = (x - cx + 0.5) % 1 - 0.5, (y - cy + 0.5) % 1 - 0.5
            mask |= np.hypot(dx, dy) < radius * (0.7 + 0.4 * np.cos(petals * np.arctan2(dy, dx)))
    picture = np.where(mask[..., None], np.asarray(accent), np.asarray(base)) * weave[..., None]
    return np.clip(picture, 0, 1).astype(np.float32)


def rug(rng, size=1024, colours=((0.48, 0.10, 0.10), (0.12, 0.17, 0.32), (0.78, 0.66, 0.44), (0.24, 0.30, 0.22))):
    """Woven carpet: border, medallion and small motifs, mirrored in both directions."""
    half = size // 2
    y, x = np.mgrid[0:half, 0:half] / half
    edge = np.minimum(x, y)
    kind = np.full((half, half), 0)
    motif = np.sin(31 * x) * np.sin(31 * y) + 0.5 * np.sin(57 * (x + y)) * np.sin(43 * (x - y))
    kind[motif > 0.45] = 2
    kind[motif < -0.55] = 3
    diamond = np.abs(1 - x) + np.abs(1 - y)
    kind[(diamond < 0.75) & (diamond > 0.7)] = 2
    kind[diamond < 0.7] = 1
    kind[(diamond < 0.6) & (np.sin(60 * diamond) * np.cos(9 * np.arctan2(1 - y, 1 - x)) > 0.2)] = 2
    kind[edge < 0.16] = 1
    kind[(edge < 0.16) & (np.sin(70 * x) + np.sin(70 * y) > 0.7)] = 2
    kind[edge < 0.03] = 2
    picture = np.asarray(colours)[kind]
    picture = np.concatenate([picture, picture[:, ::-1]], 1)
    picture = np.concatenate([picture, picture[::-1]], 0)
    wear = 0.72 + 0.2 * cloud(size, 0.6, rng) + 0.18 * cloud(size, 2.0, rng)
    return np.clip(picture * wear[..., None], 0, 1).astype(np.float32)


def glyph_line(canvas, rng, left, right, bottom, height, colour):
    """Write random 5x4 stroke glyphs on ``canvas`` in place, as a line of print."""
    cell = max(height // 5, 1)
    x = left
    while x + 4 * cell < right:
        if rng.random() < 0.16:
            x += 3 * cell
            continue
        glyph = rng.random((5, 4)) < 0.34
        glyph[:, rng.integers(0, 4)] = True
        glyph[rng.integers(0, 5), :] = True
        block = np.kron(glyph, np.ones((cell, cell))).astype(bool)
        area = canvas[bottom : bottom + 5 * cell, x : x + 4 * cell]
        area[block[: area.shape[0], : area.shape[1]]] = colour
        x += 5 * cell


def poster(rng, width=384, height=512):
    """Printed sheet: coloured ground, a picture of overlapping shapes, a headline and small print."""
    hue = muted(rng, 0.25, 0.9)
    ink = (0.08, 0.08, 0.1) if hue.mean() > 0.5 else (0.9, 0.87, 0.78)
    sheet = np.ones((height, width, 3), np.float32) * hue
    y, x = np.mgrid[0:height, 0:width]
    for _ in range(14):
        colour = muted(rng, 0.05, 0.95)
        cx, cy, r = rng.uniform(0, width), rng.uniform(height * 0.35, height * 0.95), rng.uniform(14, width / 3)
        if rng.random() < 0.5:
            inside = np.hypot(x - cx, y - cy) < r
        else:
            turn = rng.uniform(0, np.pi)
            u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
            v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
            inside = (np.abs(u) < r) & (np.abs(v) < r * rng.uniform(0.1, 0.8))
        inside &= (y > height * 0.3) & (x > 14) & (x < width - 14) & (y < height - 14)
        sheet[inside] = 0.75 * colour + 0.25 * sheet[inside]
    glyph_line(sheet, rng, 24, width - 20, int(height * 0.19), int(height * 0.085), ink)
    for line in range(4):
        glyph_line(sheet, rng, 24, width - rng.integers(24, 140), int(height * (0.04 + 0.034 * line)), 10, ink)
    sheet *= (0.92 + 0.08 * cloud(512, 1.2, rng)[:height, :width])[..., None]
    return np.clip(sheet, 0, 1)


def book_spines(rng, count=32, width=1024, height=512):
    """Atlas of ``count`` book spines side by side, each with bands and a title along the spine."""
    atlas = np.zeros((height, width, 3), np.float32)
    step = width // count
    for i in range(count):
        colour = muted(rng, 0.05, 0.7)
        ink = (0.92, 0.88, 0.72) if colour.mean() < 0.45 else (0.08, 0.08, 0.12)
        spine = np.ones((step, height, 3), np.float32) * colour
        for band in rng.uniform(0.03, 0.97, 3):
            spine[:, int(band * height) : int(band * height) + rng.integers(4, 16)] = muted(rng, 0.1, 0.9)
        glyph_line(spine, rng, int(height * 0.2), int(height * 0.8), step // 4, step // 2, ink)
        atlas[:, i * step : (i + 1) * step] = spine.transpose(1, 0, 2) * (0.85 + 0.15 * rng.random((height, 1, 1)))
    return atlas


def label(rng, size=512, ground=(0.62, 0.47, 0.31)):
    """Cardboard side with a printed label, tape and arrows."""
    side = np.asarray(ground) * (0.85 + 0.18 * cloud(size, 1.3, rng, stretch=0.2))[..., None]
    side[:, int(size * 0.45) : int(size * 0.55)] *= 1.12
    sheet = side[int(size * 0.15) : int(size * 0.5), int(size * 0.08) : int(size * 0.62)]
    sheet[:] = 0.88
    for line in range(5):
        glyph_line(sheet, rng, 8, sheet.shape[1] - 10, 8 + 32 * line, 12 + 12 * (line == 4), (0.1, 0.1, 0.12))
    for row in range(size * 6 // 10, size * 9 // 10, 44):
        glyph_line(side, rng, size * 6 // 10, size - 16, row, 36, (0.2, 0.12, 0.08))
    return np.clip(side, 0, 1).astype(np.float32)


def murals(rng, size=1024):
    """Spray-painted wall over plaster: fat letters, drips, tags."""
    wall = plaster(rng, size, (0.62, 0.60, 0.56), 0.35)
    y, x = np.mgrid[0:size, 0:size]
    for i in range(7):
        colour, rim = muted(rng, 0.25, 0.9), rng.random(3) * 0.25
        cx = size * (0.1 + 0.13 * i)
        shape = np.zeros((size, size), bool)
        for _ in range(5):
            px, py = cx + rng.normal(0, size * 0.035), size * 0.5 + rng.normal(0, size * 0.13)
            turn, long, wide = rng.uniform(0, np.pi), rng.uniform(60, 170), rng.uniform(22, 44)
            u = (x - px) * np.cos(turn) + (y - py) * np.sin(turn)
            v = (y - py) * np.cos(turn) - (x - px) * np.sin(turn)
            shape |= (np.abs(u / long) ** 4 + np.abs(v / wide) ** 4) < 1
        grown = shape.copy()
        for dy, dx in ((9, 0), (-9, 0), (0, 9), (0, -9), (7, 7), (-7, -7), (7, -7), (-7, 7)):
            grown |= np.roll(shape, (dy, dx), (0, 1))
        wall[grown] = rim
        fade = (0.6 + 0.5 * cloud(size, 1.8, rng))[..., None]
        wall[shape] = np.clip(colour * fade, 0, 1)[shape]
    for _ in range(9):
        line = int(rng.uniform(0.05, 0.9) * size)
        glyph_line(
            wall, rng, int(rng.uniform(0, 0.7) * size), size, line, int(rng.integers(20, 50)), rng.random(3) * 0.4
        )
    return np.clip(wall, 0, 1)
