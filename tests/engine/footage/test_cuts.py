import cv2
import numpy as np
import pytest
from geo4d.footage.cuts import detect_cuts
from geo4d.progress import Silent

WIDTH, HEIGHT = 320, 180


class Frames:
    """Frames in memory as the part of a Shot that cut detection uses."""

    width, height = WIDTH, HEIGHT

    def __init__(self, frames):
        self.frames = [np.ascontiguousarray(f) for f in frames]

    def __len__(self):
        return len(self.frames)

    def read(self, size=None, gray=False, start=0):
        for frame in self.frames[start:]:
            yield cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def panorama(seed, width=3000):
    """A wide textured picture with shapes of all sizes in a palette of its own."""
    rng = np.random.default_rng(seed)
    tint = rng.uniform(0.3, 1.0, 3)
    image = np.full((HEIGHT + 60, width, 3), 255 * tint * rng.uniform(0.3, 0.9), np.uint8)
    for size in (90, 45, 20, 8):
        for _ in range(width * 20 // size // 10):
            centre = (int(rng.integers(width)), int(rng.integers(HEIGHT + 60)))
            colour = (255 * np.clip(tint * rng.uniform(0.1, 1.2) + rng.normal(0, 0.1, 3), 0, 1)).tolist()
            axes = (int(size * rng.uniform(0.3, 1)), int(size * rng.uniform(0.3, 1)))
            cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    return image


def pan(seed, count, pixels_per_frame, blur=0):
    """A camera panning over a panorama; ``blur`` is the motion blur in pixels."""
    image = panorama(seed)
    if blur:
        image = cv2.blur(image, (blur, 1))
    starts = (np.arange(count) * pixels_per_frame).astype(int) % (image.shape[1] - WIDTH)
    return [image[30 : 30 + HEIGHT, x : x + WIDTH] for x in starts]


def cuts(*parts):
    progress = Silent()
    return detect_cuts(Frames([frame for part in parts for frame in part]), progress)


@pytest.mark.parametrize("speed", [0, 3, 12])
def test_cuts_between_shots_are_found_at_the_frame(speed):
    assert cuts(pan(1, 20, speed), pan(2, 15, speed), pan(3, 20, speed)) == [20, 35]


@pytest.mark.parametrize("seeds", [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)])
def test_short_shots(seeds):
    assert cuts(pan(seeds[0], 6, 2), pan(seeds[1], 6, 2)) == [6]


@pytest.mark.parametrize(("speed", "blur"), [(30, 0), (60, 0), (60, 61), (110, 0), (140, 141)])
def test_fast_pans_are_no_cuts(speed, blur):
    assert cuts(pan(1, 18, speed, blur)) == []


def test_a_sudden_whip_between_still_stretches_is_no_cut():
    image = panorama(4)
    x = np.concatenate([np.zeros(10), np.cumsum(np.full(8, 70)), np.full(10, 560)]).astype(int)
    smear = cv2.blur(image, (70, 1))
    frames = [(smear if 10 <= i < 18 else image)[30 : 30 + HEIGHT, a : a + WIDTH] for i, a in enumerate(x)]
    assert cuts(frames) == []


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_flashes_are_no_cuts(length, strength):
    frames = pan(5, 24, 3)
    for i in range(10, 10 + length):
        frames[i] = (frames[i] * (1 - strength) + 255 * strength).astype(np.uint8)
    assert cuts(frames) == []


def test_light_switched_on_is_no_cut():
    frames = pan(6, 24, 2)
    dark = [(f * 0.45).astype(np.uint8) for f in frames[:12]]
    assert cuts([*dark, *frames[12:]]) == []


def test_noise_and_still_pictures_are_no_cuts():
    rng = np.random.default_rng(0)
    assert cuts([rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(10)]) == []
    assert cuts([np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 10) == []


def test_one_and_two_frames():
    assert cuts(pan(1, 1, 0)) == []
    assert cuts(pan(1, 2, 3)) == []
