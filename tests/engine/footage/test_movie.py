import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from geo4d.errors import FootageError
from geo4d.footage import open_footage
from movies import grey, number_of, picture, write_movie, write_sound

LONG_GROUPS = {"g": "10", "bf": "3", "crf": "10"}


def numbers(frames):
    return [number_of(f) for f in frames]


def failure(path, **options):
    with pytest.raises(FootageError) as caught:
        open_footage(path, **options)
    assert caught.value.hint and caught.value.exit_status == 2
    return caught.value


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("h264.mp4", "libx264", "yuv420p"),
        ("h264.mkv", "libx264", "yuv444p"),
        ("h264.ts", "libx264", "yuv420p"),
        ("h264.avi", "libx264", "yuv420p"),
        ("h265_10bit.mp4", "libx265", "yuv420p10le"),
        ("prores.mov", "prores_ks", "yuv422p10le"),
        ("vp9.webm", "libvpx-vp9", "yuv420p"),
        ("mpeg4.avi", "mpeg4", "yuv420p"),
        ("lossless_16bit.mkv", "ffv1", "gbrp16le"),
        ("motion.mov", "mjpeg", "yuvj420p"),
    ],
)
def test_every_frame_of_every_kind_in_order(tmp_path, name, codec, pix_fmt):
    options = {"log-level": "none"} if codec == "libx265" else None
    path = write_movie(tmp_path / name, codec=codec, pix_fmt=pix_fmt, options=options)
    shot = open_footage(path)
    assert (len(shot), shot.width, shot.height, shot.frame_count) == (20, 96, 64, 20)
    assert shot.fps == pytest.approx(25, rel=1e-3) and not shot.variable_frame_rate
    np.testing.assert_allclose(shot.times, np.arange(20) / 25, atol=1e-3)
    frames = list(shot.read())
    assert numbers(frames) == list(range(20))
    assert all(f.dtype == np.uint8 and f.shape == (64, 96, 3) and f.flags.c_contiguous for f in frames)
    assert np.abs(frames[7][4:28, 4:40].reshape(-1, 3).mean(0) - (200, 40, 40)).max() < 6
    assert shot.warnings == [] and shot.gaps == [] and shot.pixel_aspect == 1.0


def test_gray_is_luma_of_full_range(tmp_path):
    shot = open_footage(write_movie(tmp_path / "a.mp4", options={"crf": "5"}))
    for number, luma in enumerate(shot.read(gray=True)):
        assert luma.shape == (64, 96)
        assert abs(float(luma[40:60].mean()) - grey(number)) < 1.5


def test_reading_at_another_size_averages_areas(tmp_path):
    shot = open_footage(write_movie(tmp_path / "a.mp4"))
    small = next(shot.read(size=(24, 16)))
    assert small.shape == (16, 24, 3)
    full = next(shot.read()).astype(np.float64)
    assert np.abs(full.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3)) - small).max() <= 1
    assert next(shot.read(size=(192, 128), gray=True)).shape == (128, 192)


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_rotation_metadata_turns_the_picture(tmp_path, rotation):
    shot = open_footage(write_movie(tmp_path / "phone.mp4", rotation=rotation))
    expected = np.rot90(picture(3), rotation // 90)
    assert (shot.height, shot.width) == expected.shape[:2]
    frame = list(shot.read())[3]
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected)[8:-8, 8:-8].mean() < 6
    half = shot.read_at([3], size=(shot.width // 2, shot.height // 2), gray=True)[0]
    assert half.shape == (expected.shape[0] // 2, expected.shape[1] // 2)


def test_variable_frame_rate_goes_by_the_stamps(tmp_path):
    stamps = np.cumsum([0, *[40, 20, 60, 33, 47, 100] * 4])[:20].tolist()
    shot = open_footage(write_movie(tmp_path / "phone.mp4", stamps=stamps))
    assert shot.variable_frame_rate
    np.testing.assert_allclose(shot.times, np.array(stamps) / 1000, atol=1e-6)
    assert shot.fps == pytest.approx(19 / (stamps[-1] / 1000), rel=0.03)
    assert numbers(shot.read()) == list(range(20))
    part = open_footage(tmp_path / "phone.mp4", first=4, last=15, step=3)
    np.testing.assert_allclose(part.times, np.array(stamps)[[4, 7, 10, 13]] / 1000, atol=1e-6)


@pytest.mark.parametrize("size", [(97, 63), (33, 65)])
def test_odd_sizes_to_the_last_column(tmp_path, size):
    path = write_movie(tmp_path / "odd.mkv", size=size, codec="ffv1", pix_fmt="yuv444p")
    shot = open_footage(path)
    assert (shot.width, shot.height) == size
    expected = picture(5, *size).astype(int)
    assert np.abs(list(shot.read())[5] - expected).max() <= 3
    path = write_movie(tmp_path / "odd420.mkv", size=size, codec="ffv1", pix_fmt="yuv420p")
    frame = list(open_footage(path).read())[5]
    assert np.abs(frame.astype(int) - expected)[-2:, -2:].max() <= 3


@pytest.mark.parametrize("matrix", [1, 5])  # BT.709, BT.601
@pytest.mark.parametrize("color_range", [1, 2])  # limited, full
def test_colour_matrix_and_range_are_honoured(tmp_path, matrix, color_range):
    def bars(_, width, height):
        image = np.empty((height, width, 3), np.uint8)
        image[:] = np.repeat([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], width // 4, axis=0)
        return image

    path = write_movie(
        tmp_path / "bars.mkv", 2, codec="ffv1", pix_fmt="yuv444p", frame=bars, tags=(matrix, color_range)
    )
    shot = open_footage(path)
    assert np.abs(next(shot.read()).astype(int) - bars(0, 96, 64)).max() <= 3
    assert next(shot.read(gray=True)).max() >= 253


def test_range_and_step(tmp_path):
    path = write_movie(tmp_path / "a.mp4", count=30, options=LONG_GROUPS)
    shot = open_footage(path, first=5, last=28, step=4)
    assert shot.indices.tolist() == [5, 9, 13, 17, 21, 25]
    assert numbers(shot.read()) == [5, 9, 13, 17, 21, 25]
    assert numbers(shot.read(start=3)) == [17, 21, 25]
    assert shot.frame_count == 30
    assert len(open_footage(path, first=29)) == 1


def test_reading_anywhere_gives_the_same_frames(tmp_path):
    path = write_movie(tmp_path / "a.mp4", count=30, options=LONG_GROUPS)
    shot = open_footage(path)
    everything = list(shot.read())
    wanted = [29, 0, 14, 14, 9, 10, 11, 3, 28, 1]
    for got, position in zip(shot.read_at(wanted), wanted, strict=True):
        np.testing.assert_array_equal(got, everything[position])
    shot.close()
    for position in (22, 2, 19, 20, 21, 0, 29):
        np.testing.assert_array_equal(shot.read_at([position])[0], everything[position])
    np.testing.assert_array_equal(shot.read_at([-1])[0], everything[-1])
    for start in (0, 1, 9, 10, 11, 25):
        np.testing.assert_array_equal(next(shot.read(start=start)), everything[start])
    one, two = shot.read(), shot.read(start=10)
    next(one), next(two)
    np.testing.assert_array_equal(next(one), everything[1])
    np.testing.assert_array_equal(next(two), everything[11])


def test_far_steps_seek(tmp_path):
    path = write_movie(tmp_path / "a.mkv", count=90, options={"g": "5", "bf": "2"})
    assert numbers(open_footage(path, step=29).read()) == [0, 29, 58 - 30, 87 - 60]


def test_open_groups_of_pictures_seek_to_the_right_frame(tmp_path):
    options = {"x265-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3:scenecut=0:log-level=none"}
    path = write_movie(tmp_path / "a.mp4", count=30, codec="libx265", options=options)
    shot = open_footage(path)
    everything = list(shot.read())
    assert numbers(everything) == list(range(30))
    for position in (7, 8, 9, 15, 16, 17, 23):
        shot.close()
        np.testing.assert_array_equal(shot.read_at([position])[0], everything[position])


def test_pixel_aspect_is_noted(tmp_path):
    shot = open_footage(write_movie(tmp_path / "dv.mp4", aspect=Fraction(16, 15)))
    assert shot.pixel_aspect == pytest.approx(16 / 15)
    assert (shot.width, shot.height) == (96, 64)
    assert [code for code, _, _ in shot.warnings] == ["footage_pixel_aspect"]


def test_sound_beside_the_pictures_is_ignored(tmp_path):
    shot = open_footage(write_movie(tmp_path / "talk.mp4", audio=True))
    assert numbers(shot.read()) == list(range(20)) and shot.warnings == []


def test_paths_with_spaces_quotes_and_other_scripts(tmp_path):
    folder = tmp_path / 'it\'s "my" földer 映像'
    folder.mkdir()
    assert numbers(open_footage(write_movie(folder / "клип 1.mp4")).read()) == list(range(20))


def test_one_frame_opens(tmp_path):
    shot = open_footage(write_movie(tmp_path / "still.mp4", count=1))
    assert len(shot) == 1 and numbers(shot.read()) == [0]


def test_memory_does_not_grow_with_the_shot(tmp_path):
    path = write_movie(tmp_path / "a.mp4", count=120, size=(320, 240))
    shot = open_footage(path)
    tracemalloc.start()
    for _ in shot.read():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 320 * 240 * 3  # a handful of frames, not 120


def test_hash_is_of_content_and_range(tmp_path):
    path = write_movie(tmp_path / "a.mp4")
    first = open_footage(path).content_hash()
    (tmp_path / "elsewhere.mp4").write_bytes(path.read_bytes())
    assert open_footage(tmp_path / "elsewhere.mp4").content_hash() == first
    assert open_footage(path, step=2).content_hash() != first
    assert open_footage(path, last=10).content_hash() != first
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert open_footage(path).content_hash() != first


def test_missing_empty_and_foreign_files(tmp_path):
    assert failure(tmp_path / "no.mp4").code == "footage_missing"
    (tmp_path / "empty.mp4").touch()
    assert failure(tmp_path / "empty.mp4").code == "footage_empty"
    (tmp_path / "notes.mp4").write_text("Dear diary, " * 200)
    assert failure(tmp_path / "notes.mp4").code == "footage_not_video"
    (tmp_path / "notes.txt").write_text("Dear diary, " * 200)
    error = failure(tmp_path / "notes.txt")
    assert error.code == "footage_not_video" and "notes.txt" in error.message
    (tmp_path / "noise.mov").write_bytes(np.random.default_rng(0).bytes(50_000))
    assert failure(tmp_path / "noise.mov").code == "footage_not_video"
    error = failure(write_sound(tmp_path / "song.m4a"))
    assert error.code == "footage_no_video" and "sound" in error.message


def test_truncated_movies(tmp_path):
    path = write_movie(tmp_path / "a.mp4", count=30)
    data = path.read_bytes()
    (tmp_path / "no_index.mp4").write_bytes(data[: len(data) * 2 // 3])
    error = failure(tmp_path / "no_index.mp4")
    assert error.code == "footage_truncated" and "index" in error.message
    faststart = write_movie(tmp_path / "b.mov", count=30, codec="prores_ks", pix_fmt="yuv422p10le")
    with_index_first = to_index_first(faststart, tmp_path / "c.mov")
    data = with_index_first.read_bytes()
    (tmp_path / "cut.mov").write_bytes(data[: len(data) // 2])
    shot = open_footage(tmp_path / "cut.mov")
    assert 10 < len(shot) < 20 and [code for code, _, _ in shot.warnings] == ["footage_truncated"]
    assert numbers(shot.read()) == list(range(len(shot)))
    (tmp_path / "stub.mov").write_bytes(data[: data.index(b"mdat") + 300])
    assert failure(tmp_path / "stub.mov").code == "footage_truncated"


def to_index_first(source, target):
    """The same movie with its index before the pictures, as downloads are."""
    import av

    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


@pytest.mark.parametrize(
    ("options", "value"),
    [({"first": 20}, "20"), ({"first": -1}, "-1"), ({"last": 99}, "99"), ({"first": 9, "last": 8}, "8")],
)
def test_range_outside_the_footage(tmp_path, options, value):
    error = failure(write_movie(tmp_path / "a.mp4"), **options)
    assert error.code == "footage_range" and value in error.message


def test_nonsense_step_and_rate(tmp_path):
    path = write_movie(tmp_path / "a.mp4")
    assert failure(path, step=0).code == "footage_range"
    assert failure(path, fps=0).code == "footage_rate"
    assert open_footage(path, fps=12.5).fps == 12.5
