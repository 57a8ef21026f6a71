"""Where the footage cuts from one shot to another."""

import cv2
import numpy as np

from .shot import Shot

_WIDTH = 96  # pixels: enough to recognise a picture by, small enough to forget noise and motion blur
_FLASH = 3  # frames: a picture that is back after so many was interrupted, not cut
_NEAR = 4  # frames on either side that a cut has to stand out from
_STRUCTURE = 0.35  # smallest structural change of a cut
_COLOUR = 0.10  # smallest change of colours of a cut
_TOGETHER = 0.85  # smallest structural change plus 1.5 times the change of colours
_BRIDGED = 0.68  # likeness of the frames before and after that makes it a flash
_STANDS_OUT = 1.6  # a cut changes this much more than its neighbours


def detect_cuts(shot: Shot, progress) -> list[int]:
    """Positions of frames that begin a new shot; position 0 is never among them.

    A cut is one step at which both the picture's structure and its colours change, much more than at the steps
    around it. Structure is compared after the best shift of one frame onto the other, so that a pan is no
    change; what changes for a few frames and comes back is a flash; and fast pans and action, which change
    every frame, do not stand out from themselves. Cross-fades are not found.

    Holds a few thumbnails, never the shot. Raises what reading the shot raises.
    """
    total = len(shot)
    height = max(16, round(_WIDTH * shot.height / shot.width))
    recent: list[_Thumbnail] = []
    structure = np.zeros(total)
    colour = np.zeros(total)
    bridged = np.zeros(total)
    for position, image in enumerate(shot.read(size=(_WIDTH, height))):
        now = _Thumbnail(image)
        if recent:
            structure[position] = _structural_change(recent[-1], now)
            colour[position] = _colour_change(recent[-1], now)
        # The step at p is bridged if the frame before it looks like one of the frames after p.
        for back, earlier in enumerate(reversed(recent[:-1]), start=2):
            likeness = 1.0 - max(_structural_change(earlier, now), 0.5 * _colour_change(earlier, now))
            for step in range(position - back + 1, position):
                bridged[step] = max(bridged[step], likeness)
        recent = [*recent, now][-_FLASH - 1 :]
        progress.advance("cuts", position + 1, total)
    return _peaks(structure, colour, bridged)


def _peaks(structure: np.ndarray, colour: np.ndarray, bridged: np.ndarray) -> list[int]:
    """Steps that are cuts, from the change at every step (F,) and how well later frames bridge it (F,)."""
    change = structure + 1.5 * colour
    cuts = []
    for p in range(1, len(change)):
        if structure[p] < _STRUCTURE or colour[p] < _COLOUR or change[p] < _TOGETHER or bridged[p] > _BRIDGED:
            continue
        around = np.concatenate([change[max(1, p - _NEAR) : p], change[p + 1 : p + 1 + _NEAR]])
        # The two largest neighbours may be a flash or another cut close by; what remains is this shot's motion.
        usual = np.sort(around)[:-2].max(initial=0.0) if len(around) > 2 else 0.0
        if change[p] > _STANDS_OUT * usual:
            cuts.append(p)
    return cuts


class _Thumbnail:
    """A small frame prepared for comparison."""

    def __init__(self, image: np.ndarray):
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        gray = lab[..., 0].astype(np.float32)
        # Band-pass: exposure and large smooth gradients go, as does the finest detail, which blur takes anyway.
        self.structure = cv2.GaussianBlur(gray, (0, 0), 1.0) - cv2.GaussianBlur(gray, (0, 0), 8.0)
        counts = cv2.calcHist([lab], [0, 1, 2], None, [8, 16, 16], [0, 256] * 3)
        # Neighbouring bins share counts, so that a slight change of exposure is a slight change here.
        counts = np.stack([cv2.GaussianBlur(plane, (0, 0), 0.8) for plane in counts])
        counts = cv2.GaussianBlur(counts.reshape(8, -1), (1, 3), 0.8)
        self.colours = counts / max(float(counts.sum()), 1.0)


def _structural_change(a: _Thumbnail, b: _Thumbnail) -> float:
    """1 minus the best normalised correlation over shifts of up to half a frame: 0 same, about 1 unrelated."""
    h, w = a.structure.shape
    best = -1.0
    for first, second in ((a.structure, b.structure), (b.structure, a.structure)):
        # The middle of one frame is looked for in the other: a pan moves it, a zoom or a turn bends it little.
        for y0, y1, x0, x1 in _PATCHES:
            patch = first[int(y0 * h) : int(y1 * h), int(x0 * w) : int(x1 * w)]
            if float(patch.std()) > 1.0:
                best = max(best, float(cv2.matchTemplate(second, patch, cv2.TM_CCOEFF_NORMED).max()))
    return 1.0 - max(best, 0.0)


_PATCHES = (
    (0.1, 0.9, 0.1, 0.9),
    (0.05, 0.95, 0.0, 0.5),
    (0.05, 0.95, 0.5, 1.0),
    (0.0, 0.55, 0.1, 0.9),
    (0.45, 1.0, 0.1, 0.9),
)


def _colour_change(a: _Thumbnail, b: _Thumbnail) -> float:
    """Half the summed difference of the colour histograms: 0 same, 1 no colour in common."""
    return 0.5 * float(np.abs(a.colours - b.colours).sum())
