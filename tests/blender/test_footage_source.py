"""Strips, clips and files as footage: ranges, start frames, and clear complaints."""

import subprocess
from types import SimpleNamespace

import bpy
import pytest
from synthetic_scene import LENSES, write_plate

MOVIE = """
import sys, av, numpy as np
path, fps, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with av.open(path, "w") as out:
    stream = out.add_stream("mpeg4", rate=fps)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for i in range(count):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 + 8 * i, np.uint8), format="rgb24")
        out.mux(stream.encode(frame))
    out.mux(stream.encode())
"""


@pytest.fixture
def movie(engine_python, tmp_path):
    """A movie of 20 even grey frames that grow lighter, 24 a second."""
    path = tmp_path / "a movie ü.mp4"
    subprocess.run([engine_python, "-c", MOVIE, str(path), "24", "20"], check=True)
    return path


@pytest.fixture
def strips():
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    editor = scene.sequence_editor_create()
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def trim(strip, left: int, right: int) -> None:
    """Set the handles: first frame shown and the frame after the last."""
    if hasattr(strip, "left_handle"):
        strip.left_handle, strip.right_handle = left, right
    else:
        strip.frame_final_start, strip.frame_final_end = left, right


def test_whole_movie_strip(addon, strips, movie):
    strip = strips.new_movie("m", str(movie), channel=1, frame_start=101)
    footage = addon.footage_source.from_strip(strip, bpy.context.scene)
    assert footage.path == movie
    assert (footage.first, footage.last, footage.start_frame) == (0, 19, 101)
    assert footage.fps is None
    assert footage.name == "a movie ü"


def test_trimmed_movie_strip(addon, strips, movie):
    strip = strips.new_movie("m", str(movie), channel=1, frame_start=101)
    trim(strip, 105, 115)
    footage = addon.footage_source.from_strip(strip, bpy.context.scene)
    assert (footage.first, footage.last, footage.start_frame) == (4, 13, 101)
    assert footage.name == "a movie ü_4-13"


def test_strip_pulled_beyond_its_content(addon, strips, movie):
    strip = strips.new_movie("m", str(movie), channel=1, frame_start=101)
    trim(strip, 95, 140)
    footage = addon.footage_source.from_strip(strip, bpy.context.scene)
    assert (footage.first, footage.last, footage.start_frame) == (0, 19, 101)


def test_cut_strip(addon, strips, movie):
    """The second half of a strip cut in two still counts from the source's first frame."""
    strip = strips.new_movie("m", str(movie), channel=1, frame_start=50)
    half = strip.split(frame=60, split_method="HARD")
    footage = addon.footage_source.from_strip(half, bpy.context.scene)
    assert (footage.first, footage.last, footage.start_frame) == (10, 19, 50)
    first = addon.footage_source.from_strip(strip, bpy.context.scene)
    assert (first.first, first.last, first.start_frame) == (0, 9, 50)


def test_image_strip(addon, strips, tmp_path):
    folder = write_plate(tmp_path / "plate", LENSES["landscape"], range(6), first_number=1001)
    names = sorted(p.name for p in folder.iterdir())
    strip = strips.new_image("i", str(folder / names[0]), channel=1, frame_start=11)
    for name in names[1:]:
        strip.elements.append(name)
    trim(strip, 12, 16)
    footage = addon.footage_source.from_strip(strip, bpy.context.scene)
    assert footage.path == folder / names[0]
    assert (footage.first, footage.last, footage.start_frame, footage.fps) == (1, 4, 11, 24.0)


def test_image_strip_that_begins_inside_its_sequence(addon, strips, tmp_path):
    folder = write_plate(tmp_path / "plate", LENSES["landscape"], range(6), first_number=1001)
    names = sorted(p.name for p in folder.iterdir())[2:]
    strip = strips.new_image("i", str(folder / names[0]), channel=1, frame_start=11)
    for name in names[1:]:
        strip.elements.append(name)
    trim(strip, 11, 15)
    footage = addon.footage_source.from_strip(strip, bpy.context.scene)
    # The engine counts from the first file on disk, which the strip does not show.
    assert (footage.first, footage.last, footage.start_frame) == (2, 5, 9)


def test_strip_whose_source_moved(addon, strips, movie):
    strip = strips.new_movie("m", str(movie), channel=1, frame_start=1)
    movie.rename(movie.with_name("elsewhere.mp4"))
    with pytest.raises(addon.footage_source.SourceError, match=r"a movie ü\.mp4 is gone\. Relink"):
        addon.footage_source.from_strip(strip, bpy.context.scene)


def test_strip_of_another_frame_rate(addon, strips, movie):
    strip = strips.new_movie("m", str(movie), channel=1, frame_start=1)
    bpy.context.scene.render.fps = 30
    with pytest.raises(addon.footage_source.SourceError, match="frames a second"):
        addon.footage_source.from_strip(strip, bpy.context.scene)


def test_strips_that_are_no_footage(addon, strips):
    with pytest.raises(addon.footage_source.SourceError, match="No strip is active"):
        addon.footage_source.from_strip(None, bpy.context.scene)
    with pytest.raises(addon.footage_source.SourceError, match="type Color"):
        addon.footage_source.from_strip(SimpleNamespace(name="c", type="COLOR"), bpy.context.scene)


def test_clip(addon, movie):
    clip = bpy.data.movieclips.load(str(movie))
    clip.frame_start = 31
    footage = addon.footage_source.from_clip(clip, bpy.context.scene)
    assert (footage.path, footage.first, footage.last, footage.start_frame) == (movie, 0, None, 31)
    with pytest.raises(addon.footage_source.SourceError, match="No movie clip"):
        addon.footage_source.from_clip(None, bpy.context.scene)


def test_file_that_is_missing(addon, tmp_path):
    with pytest.raises(addon.footage_source.SourceError, match="is gone"):
        addon.footage_source.from_file(str(tmp_path / "none.mp4"), bpy.context.scene)
    with pytest.raises(addon.footage_source.SourceError, match="No footage is chosen"):
        addon.footage_source.from_file("", bpy.context.scene)


def test_first_file_of_sequences(addon, tmp_path):
    folder = tmp_path / "take.02"
    folder.mkdir()
    for number in (7, 8, 12):
        (folder / f"shot2_{number:04d}_v1.png").touch()
    (folder / "._shot2_0001_v1.png").touch()
    first_file = addon.plate.first_file
    want = (folder / "shot2_0007_v1.png", 7)
    # The last number in a name is the frame; here that is the version, so the pattern has to say.
    assert first_file(folder / "shot2_####_v1.png") == want
    assert first_file(folder / "shot2_%04d_v1.png") == want
    plain = tmp_path / "plain"
    plain.mkdir()
    for number in (99, 100, 101):
        (plain / f"f{number}.jpg").touch()
    for path in (plain, plain / "f100.jpg", plain / "f###.jpg"):
        assert first_file(path) == (plain / "f99.jpg", 99)
    assert first_file(tmp_path / "clip.mp4") == (tmp_path / "clip.mp4", None)


def test_movie_plate_shows_the_right_frame_under_the_points(addon, movie, tmp_path):
    """Points of footage frame i take the colour of the movie's frame i."""
    from synthetic_scene import Lens, write_scene
    from test_depth_points import evaluated_points

    write_scene(tmp_path / "shot", Lens(64, 48, 60, 60, 32, 24), [3, 4, 9], (32, 24), str(movie))
    options = addon.import_scene.ImportOptions(start_frame=101)
    imported = addon.import_scene.import_scene(tmp_path / "shot", bpy.context.scene, options)
    assert imported.clip.frame_start == 101
    assert imported.warnings == []
    for index in (3, 4, 9):
        bpy.context.scene.frame_set(101 + index)
        linear = evaluated_points(imported.points)["displayColor"][:, :3].mean()
        assert 255 * (1.055 * linear ** (1 / 2.4) - 0.055) == pytest.approx(10 + 8 * index, abs=3)
