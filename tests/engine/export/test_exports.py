import numpy as np
import pycolmap
import pytest
from geo4d.errors import BadRequest, OutputError
from geo4d.export import FORMATS, export_scene
from geo4d.export.axes import upright
from geo4d.geometry.rotation import rotation_matrices
from geo4d.progress import Silent
from synthetic import WALL_Z, colour_picture, make_scene, scene_projection


def read_ply(path):
    """Vertices of a binary PLY as a structured array."""
    data = path.read_bytes()
    end = data.index(b"end_header\n") + len(b"end_header\n")
    header = data[:end].decode("ascii").splitlines()
    assert header[0] == "ply" and header[1] == "format binary_little_endian 1.0"
    kinds = {"float": "<f4", "uchar": "u1"}
    layout = [(line.split()[2], kinds[line.split()[1]]) for line in header if line.startswith("property")]
    vertices = np.frombuffer(data[end:], dtype=layout)
    assert len(vertices) == int(next(line for line in header if line.startswith("element vertex")).split()[2])
    return vertices


def test_formats_are_those_of_the_command_line():
    assert list(FORMATS) == ["usd", "colmap", "chan", "ply", "tum"]


@pytest.mark.parametrize("text", [False, True])
def test_colmap_projects_as_the_scene_does(synthetic_scene, tmp_path, text):
    scene = synthetic_scene
    export_scene(scene.folder, "colmap", tmp_path / "model", {"text": text}, Silent())
    assert (tmp_path / "model" / ("cameras.txt" if text else "cameras.bin")).is_file()
    model = pycolmap.Reconstruction(str(tmp_path / "model"))
    assert model.num_reg_images() == len(scene) and model.num_points3D() > 20
    xyz, rgb, _ = scene.points()
    seen = 0
    for position in range(len(scene)):
        image = model.image(position + 1)
        assert image.name == f"{scene.index[position]:04d}.png"
        expected, _ = scene_projection(scene, position, xyz.astype(np.float64))
        for point, pixel in zip(xyz, expected, strict=True):
            assert np.abs(image.project_point(point.astype(np.float64)) - pixel).max() < 0.05
        for point2d in image.points2D:
            assert point2d.has_point3D()
            assert np.abs(image.project_point(model.point3D(point2d.point3D_id).xyz) - point2d.xy).max() < 0.05
            seen += 1
    assert seen == model.compute_num_observations() == len(scene.tracks()["track"])
    assert model.compute_mean_reprojection_error() < 0.01
    for point in model.points3D.values():
        nearest = np.abs(xyz - point.xyz).sum(axis=1).argmin()
        assert tuple(point.color) == tuple(rgb[nearest])


def test_frames_with_one_lens_share_a_colmap_camera(tmp_path):
    scene = make_scene(tmp_path, zoom=False)
    export_scene(scene.folder, "colmap", tmp_path / "model", None, Silent())
    model = pycolmap.Reconstruction(str(tmp_path / "model"))
    assert model.num_cameras() == 1
    camera = model.camera(1)
    assert camera.model.name == "SIMPLE_RADIAL"
    np.testing.assert_allclose(camera.params, [scene.fx[0], scene.cx[0], scene.cy[0], scene.k1])


def test_tum_trajectory(synthetic_scene, tmp_path):
    scene = synthetic_scene
    export_scene(scene.folder, "tum", tmp_path / "path.txt", {}, Silent())
    rows = np.loadtxt(tmp_path / "path.txt")
    np.testing.assert_allclose(rows[:, 0], scene.time, atol=1e-6)
    c2w = np.tile(np.eye(4), (len(rows), 1, 1))
    c2w[:, :3, :3] = rotation_matrices(rows[:, [7, 4, 5, 6]])
    c2w[:, :3, 3] = rows[:, 1:4]
    np.testing.assert_allclose(c2w, scene.c2w, atol=1e-7)


def nuke_rotation(degrees):
    """Ry Rx Rz of angles (x, y, z): Nuke's rotation order ZXY, written out."""
    x, y, z = np.radians(degrees)
    Rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    Ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    Rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return Ry @ Rx @ Rz


def test_chan_projects_as_the_scene_does(synthetic_scene, tmp_path):
    scene = synthetic_scene
    export_scene(scene.folder, "chan", tmp_path / "camera.chan", {"first_frame": 1001}, Silent())
    rows = np.loadtxt(tmp_path / "camera.chan")
    np.testing.assert_array_equal(rows[:, 0], scene.index + 1001)
    xyz = scene.points()[0].astype(np.float64)
    world = xyz @ upright(scene, "Y").T
    for position, row in enumerate(rows):
        cam = (world - row[1:4]) @ nuke_rotation(row[4:7])  # rows: R^T applied to points
        vfov, focal, width, height, offset_x, offset_y = row[7:]
        assert vfov == pytest.approx(np.degrees(2 * np.arctan(height / 2 / focal)))
        film = focal * cam[:, :2] / -cam[:, 2:]
        x = ((film[:, 0] - offset_x) / width + 0.5) * scene.width
        y = (0.5 - (film[:, 1] - offset_y) / height) * scene.height
        expected, depth = scene_projection(scene, position, xyz, distorted=False)
        assert (depth > 0).all()
        assert np.abs(np.column_stack([x, y]) - expected).max() < 0.05


def test_ply_sequence_lies_on_the_wall_in_the_colours_of_the_plate(synthetic_scene, tmp_path):
    scene = synthetic_scene
    progress = Silent()
    export_scene(scene.folder, "ply", tmp_path / "points", {"stride": 3, "up_axis": "Z"}, progress)
    assert progress.warnings == []
    names = sorted(p.name for p in (tmp_path / "points").iterdir())
    assert names == [*(f"{i:04d}.ply" for i in scene.index), "static.ply"]
    R = upright(scene, "Z")
    np.testing.assert_allclose(R @ scene.up, [0, 0, 1], atol=1e-12)
    plate = colour_picture(scene.width, scene.height)
    for position, index in enumerate(scene.index):
        points = read_ply(tmp_path / "points" / f"{index:04d}.ply")
        assert len(points) > 100
        xyz = np.column_stack([points[a] for a in "xyz"]).astype(np.float64) @ R
        np.testing.assert_allclose(xyz[:, 2], WALL_Z, atol=2e-5)
        pixels, _ = scene_projection(scene, position, xyz)
        inside = ((pixels > 1) & (pixels < [scene.width - 1, scene.height - 1])).all(axis=1)
        shown = plate[pixels[inside, 1].astype(int), pixels[inside, 0].astype(int)].astype(int)
        rgb = np.column_stack([points[c] for c in ("red", "green", "blue")])[inside].astype(int)
        assert inside.sum() > 100 and np.abs(rgb - shown).max() <= 1
        assert set(np.round(points["confidence"], 3)) == {0.25, 0.75}
    xyz, rgb, _ = scene.points()
    static = read_ply(tmp_path / "points" / "static.ply")
    np.testing.assert_allclose(np.column_stack([static[a] for a in "xyz"]), xyz @ R.T, atol=1e-5)
    np.testing.assert_array_equal(np.column_stack([static[c] for c in ("red", "green", "blue")]), rgb)


def test_options_thin_the_points(synthetic_scene, tmp_path):
    scene = synthetic_scene

    def count(**options):
        export_scene(scene.folder, "ply", tmp_path / "p", options, Silent())
        return len(read_ply(tmp_path / "p" / f"{scene.index[0]:04d}.ply"))

    everything = count(stride=1)
    assert everything == scene.depth_width * scene.depth_height
    assert count(stride=2) == pytest.approx(everything / 4, rel=0.05)
    assert count(stride=1, min_confidence=0.5) == pytest.approx(everything * 2 / 3, rel=0.05)


def test_lost_footage_leaves_grey_points_and_one_warning(synthetic_scene, tmp_path):
    scene = synthetic_scene
    plate = scene.folder.parent / "plate"
    plate.rename(plate.with_name("moved"))
    progress = Silent()
    export_scene(scene.folder, "ply", tmp_path / "points", {}, progress)
    assert [code for code, _, _ in progress.warnings] == ["plate_unreadable"]
    points = read_ply(tmp_path / "points" / f"{scene.index[-1]:04d}.ply")
    assert len(points) > 100 and set(points["red"]) == {160}


def test_a_failed_export_leaves_nothing_new_and_nothing_broken(synthetic_scene, tmp_path):
    scene = synthetic_scene
    target = tmp_path / "points"
    export_scene(scene.folder, "ply", target, {}, Silent())
    before = {p.name: p.read_bytes() for p in target.iterdir()}
    scene.depth_path(len(scene) - 1).write_bytes(b"broken")
    with pytest.raises(BadRequest) as caught:
        export_scene(scene.folder, "ply", target, {"stride": 5}, Silent())
    assert caught.value.code == "scene_unreadable"
    assert {p.name: p.read_bytes() for p in target.iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir() if "points" in p.name) == ["points"]


@pytest.mark.parametrize("format", ["usd", "colmap", "chan", "ply", "tum"])
def test_target_that_cannot_be_written(synthetic_scene, tmp_path, format):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError) as caught:
        export_scene(synthetic_scene.folder, format, tmp_path / "file" / "x.usda", {}, Silent())
    assert str(tmp_path / "file") in caught.value.message


def test_bad_requests_name_the_value(tmp_path, synthetic_scene):
    for folder, format, options, code, value in [
        (tmp_path, "tum", {}, "scene_unreadable", str(tmp_path)),
        (synthetic_scene.folder, "fbx", {}, "unknown_format", "fbx"),
        (synthetic_scene.folder, "ply", {"colour": 1}, "bad_option", "colour"),
        (synthetic_scene.folder, "ply", {"stride": 0}, "bad_option", "0"),
        (synthetic_scene.folder, "usd", {"up_axis": "X"}, "bad_option", "X"),
    ]:
        with pytest.raises(BadRequest) as caught:
            export_scene(folder, format, tmp_path / "x", options, Silent())
        assert caught.value.code == code and value in caught.value.message
