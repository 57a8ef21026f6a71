"""Pictures on their way in, and intrinsics on their way back."""

import numpy as np
import pytest
from geo4d.models.vggt4d import images


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("size", [(30, 50), (97, 31), (200, 180), (64, 48)])
def test_resampling_is_the_image_librarys(size):
    library = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    source = picture(61, 97)
    expected = np.asarray(library.fromarray(source).resize((size[1], size[0]), library.Resampling.BICUBIC))
    assert np.array_equal(images.resample(source, size[1], size[0]), expected)


def test_flat_pictures_stay_flat():
    flat = np.full((33, 47, 3), 201, np.uint8)
    assert (images.resample(flat, 14, 70) == 201).all()


def test_transparency_goes_onto_white():
    source = picture(8, 8, 4)
    source[0, 0, 3], source[1, 1, 3] = 0, 255
    result = images.opaque(source)
    assert (result[0, 0] == 255).all() and (result[1, 1] == source[1, 1, :3]).all()
    share = source[..., 3:] / 255
    assert np.abs(result - (source[..., :3] * share + 255 * (1 - share))).max() <= 1


@pytest.mark.parametrize("mode", ["crop", "pad"])
@pytest.mark.parametrize("shape", [(60, 97), (97, 60), (9, 150), (64, 64)])
def test_a_pixel_comes_back_to_where_it_was(mode, shape):
    """A bright spot's place in the seen picture, through the placement, is its place in the original."""
    source = np.zeros((*shape, 3), np.uint8)
    y, x = shape[0] // 2, shape[1] // 3
    source[y - 2 : y + 3, x - 2 : x + 3] = 255
    (seen,), (place,) = images.load([source], mode, 112)
    inside = seen[0]
    if mode == "pad":  # white around does not count
        top, left = round(place.offset_y), round(place.offset_x)
        inside = np.zeros_like(seen[0])
        rows = slice(top, top + round(shape[0] * place.scale_y))
        columns = slice(left, left + round(shape[1] * place.scale_x))
        inside[rows, columns] = seen[0][rows, columns]
    v, u = (np.average(axis.ravel(), weights=inside.ravel()) + 0.5 for axis in np.indices(inside.shape))
    k = np.array([[100.0, 0, u], [0, 90.0, v], [0, 0, 1]])
    back = place.intrinsics(k)
    assert abs(back[0, 2] - (x + 0.5)) < 0.35 / min(1, place.scale_x)
    assert abs(back[1, 2] - (y + 0.5)) < 0.35 / min(1, place.scale_y)
    assert back[0, 0] == pytest.approx(100 / place.scale_x) and back[1, 1] == pytest.approx(90 / place.scale_y)


@pytest.mark.parametrize("footage", [(1920, 1080), (1080, 1920), (1440, 1080), (640, 640), (2048, 858), (4096, 300)])
def test_working_size(footage):
    w, h = images.working_size(*footage)
    assert w % 14 == h % 14 == 0 and max(w, h) <= 518 and max(w, h) >= 448
    stretch = w / h / (footage[0] / footage[1])
    assert max(stretch, 1 / stretch) < (1.02 if max(footage) / min(footage) < 3 else 1.2)
    assert images.working_size(*footage[::-1]) == (h, w)


def test_different_shapes_share_one_frame():
    batch, places = images.load([picture(60, 97), picture(97, 60)], "crop", 56)
    assert batch.shape == (2, 3, 56, 56) and len(places) == 2
    assert (batch[0, :, 0] == 1).all() and not (batch[1, :, 0] == 1).all()
