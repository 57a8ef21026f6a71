import struct
from fractions import Fraction

import cv2
import numpy as np
import OpenEXR
import pytest
from geo4d.errors import FootageError
from geo4d.footage import open_footage
from geo4d.footage.image_file import colour_channels, linear_to_display
from movies import number_of, picture, write_movie

SRGB_OF_LINEAR = {0.0: 0, 0.0031308: 10, 0.18: 118, 0.5: 188, 1.0: 255, 7.5: 255, np.inf: 255, -0.2: 0, np.nan: 0}


def write_image(path, image):
    """RGB uint8, uint16 or float by OpenCV, whatever the path's letters."""
    ok, data = cv2.imencode(path.suffix, image[..., ::-1])
    assert ok
    path.write_bytes(data.tobytes())


def write_exr(path, planes, **header):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(header, {name: np.ascontiguousarray(plane) for name, plane in planes.items()}).write(str(path))


def linear_of(image):
    x = image / 255.0
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def failure(path, **options):
    with pytest.raises(FootageError) as caught:
        list(open_footage(path, **options).read())
    assert caught.value.hint and caught.value.exit_status == 2
    return caught.value


def numbers(shot, **options):
    return [number_of(f) for f in shot.read(**options)]


@pytest.fixture
def folder(tmp_path):
    """Eight PNG frames, numbered from 101."""
    (tmp_path / "plate").mkdir()
    for i in range(8):
        write_image(tmp_path / "plate" / f"shot_v2.{101 + i:04d}.png", picture(i))
    return tmp_path / "plate"


@pytest.mark.parametrize("name", ["", "shot_v2.####.png", "shot_v2.%04d.png", "shot_v2.#.png", "shot_v2.0105.png"])
def test_folder_pattern_and_any_one_file(folder, name):
    shot = open_footage(folder / name)
    assert (len(shot), shot.width, shot.height, shot.fps, shot.frame_count) == (8, 96, 64, 24.0, 8)
    assert shot.indices.tolist() == list(range(8)) and shot.gaps == [] and not shot.variable_frame_rate
    assert numbers(shot) == list(range(8))
    np.testing.assert_array_equal(next(shot.read()), picture(0))


@pytest.mark.parametrize("kind", [".png", ".jpg", ".JPEG", ".tif", ".tiff", ".exr", ".bmp", ".webp"])
def test_every_type_shows_the_same_picture(tmp_path, kind):
    for i in range(4):
        path = tmp_path / f"f{i:03d}{kind}"
        if kind == ".exr":
            linear = linear_of(picture(i)).astype(np.float16)
            write_exr(path, {c: linear[..., k] for k, c in enumerate("RGB")})
        else:
            write_image(path, picture(i))
    shot = open_footage(tmp_path, fps=30)
    assert numbers(shot) == [0, 1, 2, 3]
    np.testing.assert_allclose(shot.times, np.arange(4) / 30)
    error = np.abs(shot.read_at([2])[0].astype(int) - picture(2))
    assert error[4:28, 4:40].max() <= (8 if kind in (".jpg", ".JPEG", ".webp") else 1)


def test_dpx_through_the_movie_decoder(tmp_path):
    import av

    for i in range(3):
        encoder = av.CodecContext.create("dpx", "w")
        encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 96, 64, "gbrp10le", Fraction(1, 24)
        packets = encoder.encode(av.VideoFrame.from_ndarray(picture(i), format="rgb24").reformat(format="gbrp10le"))
        (tmp_path / f"scan.{i:04d}.dpx").write_bytes(bytes((packets or encoder.encode())[0]))
    shot = open_footage(tmp_path)
    assert numbers(shot) == [0, 1, 2]
    assert np.abs(next(shot.read()).astype(int) - picture(0)).max() <= 2


@pytest.mark.parametrize("kind", [".png", ".tif"])
def test_sixteen_bits_are_rounded(tmp_path, kind):
    write_image(tmp_path / f"a.1{kind}", picture(9).astype(np.uint16) * 257 + 100)
    np.testing.assert_array_equal(next(open_footage(tmp_path).read()), picture(9))


def test_alpha_is_ignored(tmp_path):
    rgba = np.dstack([picture(4), np.zeros((64, 96), np.uint8)])
    (tmp_path / "a.1.png").write_bytes(cv2.imencode(".png", rgba[..., [2, 1, 0, 3]])[1].tobytes())
    np.testing.assert_array_equal(next(open_footage(tmp_path).read()), picture(4))


def test_gray_images_and_gray_frames(tmp_path):
    (tmp_path / "a.1.png").write_bytes(cv2.imencode(".png", np.full((10, 20), 90, np.uint8))[1].tobytes())
    shot = open_footage(tmp_path)
    assert next(shot.read()).shape == (10, 20, 3) and next(shot.read(gray=True)).shape == (10, 20)
    assert (next(shot.read(size=(10, 5), gray=True)) == 90).all()


def test_jpeg_orientation_is_applied(tmp_path):
    jpeg = cv2.imencode(".jpg", picture(3)[..., ::-1])[1].tobytes()
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)  # turn a quarter clockwise to view
    exif = b"Exif\0\0" + tiff
    (tmp_path / "p1.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    shot = open_footage(tmp_path)
    assert (shot.width, shot.height) == (64, 96)
    assert np.abs(next(shot.read()).astype(int) - np.rot90(picture(3), -1)).mean() < 4


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_exr_is_linear_light_shown_as_srgb(tmp_path, kind):
    values = np.array(list(SRGB_OF_LINEAR), dtype=kind)[None].repeat(2, axis=0)
    write_exr(tmp_path / "f.1.exr", {"R": values, "G": values, "B": values, "A": np.zeros_like(values)})
    shown = next(open_footage(tmp_path).read())
    expected = np.array(list(SRGB_OF_LINEAR.values()))
    assert np.abs(shown[0, :, 1].astype(int) - expected).max() <= 1


def test_display_curve_keeps_all_eight_bits():
    every = np.arange(256)
    np.testing.assert_array_equal(linear_to_display(linear_of(every).astype(np.float32)), every)


def test_exr_crop_overscan_and_pixel_aspect(tmp_path):
    full = linear_of(picture(5)).astype(np.float32)
    origin, corner = np.array([8, 4], np.int32), np.array([87, 51], np.int32)
    crop = {c: full[4:52, 8:88, k] for k, c in enumerate("RGB")}
    windows = {
        "dataWindow": (origin, corner),
        "displayWindow": (np.array([0, 0], np.int32), np.array([95, 63], np.int32)),
        "pixelAspectRatio": 2.0,
    }
    write_exr(tmp_path / "f.1.exr", crop, **windows)
    shot = open_footage(tmp_path)
    assert shot.pixel_aspect == 2.0
    shown = next(shot.read())
    assert shown.shape == (64, 96, 3)
    assert np.abs(shown[4:52, 8:88].astype(int) - picture(5)[4:52, 8:88]).max() <= 1
    assert (shown[:4] == 0).all() and (shown[:, 88:] == 0).all()


def test_exr_layers():
    blender = [f"ViewLayer.{layer}.{c}" for layer in ("Albedo", "Combined") for c in "RGBA"] + ["ViewLayer.Depth.Z"]
    assert colour_channels(blender) == [f"ViewLayer.Combined.{c}" for c in "RGB"]
    assert colour_channels(["A", "B", "G", "R", "spec.R", "spec.G", "spec.B"]) == ["R", "G", "B"]
    assert colour_channels(["diffuse.red", "diffuse.green", "diffuse.blue"]) == [
        f"diffuse.{c}" for c in ("red", "green", "blue")
    ]
    assert colour_channels(["Y"]) == ["Y", "Y", "Y"]
    assert colour_channels(["Z", "N.X"]) is None


def test_exr_without_colour_says_so(tmp_path):
    write_exr(tmp_path / "z.1.exr", {"Z": np.ones((4, 4), np.float32)})
    error = failure(tmp_path)
    assert error.code == "footage_undecodable" and "no colour channels" in error.message


def test_gaps_are_named_and_keep_later_frames_in_their_place(folder):
    for i in (3, 4):
        (folder / f"shot_v2.{101 + i:04d}.png").unlink()
    shot = open_footage(folder)
    assert shot.gaps == [3, 4] and shot.indices.tolist() == [0, 1, 2, 5, 6, 7] and shot.frame_count == 8
    ((code, message, _),) = shot.warnings
    assert code == "footage_gaps" and "3, 4" in message
    assert numbers(shot) == [0, 1, 2, 5, 6, 7]
    np.testing.assert_allclose(shot.times[3], 5 / 24)
    assert open_footage(folder, first=5).gaps == []
    assert open_footage(folder, first=0, step=2).indices.tolist() == [0, 2, 6]


def test_range_step_start_and_single_frames(folder):
    shot = open_footage(folder / "shot_v2.####.png", first=1, last=6, step=2)
    assert numbers(shot) == [1, 3, 5] and numbers(shot, start=1) == [3, 5]
    assert [number_of(f) for f in shot.read_at([2, 0, -1], size=(48, 32))] == [5, 1, 5]
    for options, value in [({"first": 8}, "8"), ({"last": 8}, "8"), ({"first": 4, "last": 2}, "2")]:
        error = failure(folder, **options)
        assert error.code == "footage_range" and value in error.message


def test_mixed_sizes_name_the_file(folder):
    write_image(folder / "shot_v2.0104.png", picture(3, 90, 64))
    error = failure(folder)
    assert error.code == "footage_mixed_sizes" and "shot_v2.0104.png" in error.message and "90 x 64" in error.message
    write_image(folder / "shot_v2.0108.png", picture(7, 90, 64))
    with pytest.raises(FootageError):  # the last image is looked at when opening
        open_footage(folder)


def test_broken_images_name_the_file(folder):
    whole = (folder / "shot_v2.0108.png").read_bytes()
    for content, code in [(b"", "footage_empty"), (b"not an image", "footage_undecodable")]:
        (folder / "shot_v2.0108.png").write_bytes(content)
        error = failure(folder)
        assert error.code == code and "shot_v2.0108.png" in error.message
    (folder / "shot_v2.0108.png").write_bytes(whole)
    shot = open_footage(folder)
    (folder / "shot_v2.0103.png").unlink()
    with pytest.raises(FootageError) as caught:
        list(shot.read())
    assert caught.value.code == "footage_missing" and "shot_v2.0103.png" in caught.value.message


def test_cut_off_exr_names_the_file(tmp_path):
    for i in range(2):
        write_exr(tmp_path / f"f.{i}.exr", {c: np.random.default_rng(i).random((64, 64), np.float32) for c in "RGB"})
    data = (tmp_path / "f.1.exr").read_bytes()
    (tmp_path / "f.1.exr").write_bytes(data[: len(data) // 2])
    error = failure(tmp_path)
    assert error.code == "footage_undecodable" and "f.1.exr" in error.message


def test_folders_that_are_no_sequence(tmp_path):
    assert failure(tmp_path).code == "footage_missing"
    assert failure(tmp_path / "no" / "f.####.png").code == "footage_missing"
    assert failure(tmp_path / "f.0001.png").code == "footage_missing"
    write_image(tmp_path / "anna.png", picture(0))
    assert len(open_footage(tmp_path)) == len(open_footage(tmp_path / "anna.png")) == 1
    write_image(tmp_path / "ben.png", picture(0))
    assert "frame number" in failure(tmp_path).message


def test_two_sequences_in_a_folder_ask_which(folder):
    for i in range(3):
        write_image(folder / f"matte.{i:04d}.png", picture(i))
    error = failure(folder)
    assert error.code == "footage_ambiguous" and "matte.#.png" in error.message
    assert len(open_footage(folder / "matte.0001.png")) == 3
    write_image(folder / "matte.1.png", picture(1))
    error = failure(folder / "matte.####.png")
    assert error.code == "footage_ambiguous" and "frame 1" in error.message


def test_hidden_files_and_other_types_are_not_frames(folder):
    (folder / "._shot_v2.0109.png").write_bytes(b"resource fork")
    (folder / "notes 12.txt").write_text("x")
    write_movie(folder / "preview01.mp4", count=2)
    assert len(open_footage(folder)) == 8


def test_paths_with_spaces_quotes_and_other_scripts(tmp_path):
    folder = tmp_path / 'it\'s "my" földer 映像'
    folder.mkdir()
    for i in range(3):
        write_image(folder / f"кадр {i}.png", picture(i))
        write_exr(folder / f"画像.{i}.exr", {c: np.full((8, 8), 0.5, np.float32) for c in "RGB"})
    assert numbers(open_footage(folder / "кадр 1.png")) == [0, 1, 2]
    assert len(list(open_footage(folder / "画像.#.exr").read())) == 3


def test_hash_is_of_content_numbers_and_range(folder, tmp_path):
    first = open_footage(folder).content_hash()
    folder.rename(tmp_path / "moved")
    moved = tmp_path / "moved"
    assert open_footage(moved).content_hash() == first
    assert open_footage(moved, step=2).content_hash() != first
    (moved / "shot_v2.0108.png").rename(moved / "shot_v2.0109.png")
    assert open_footage(moved).content_hash() != first
    (moved / "shot_v2.0109.png").rename(moved / "shot_v2.0108.png")
    assert open_footage(moved).content_hash() == first
    write_image(moved / "shot_v2.0104.png", picture(9))
    assert open_footage(moved).content_hash() != first
