import subprocess
import sys

import numpy as np
import pytest
from geo4d.errors import BadRequest
from geo4d.export import export_scene
from geo4d.export.axes import upright
from geo4d.export.usd import linear
from geo4d.progress import Silent
from synthetic import WALL_Z, colour_picture, make_scene, scene_projection

pxr = pytest.importorskip("pxr", reason="USD export needs the usd-core package")
from pxr import Usd, UsdGeom  # noqa: E402


def pixels_through_usd_camera(stage, time, points, width, height):
    """Pixels (N, 2) of stage points (N, 3) by USD's own camera mathematics."""
    camera = UsdGeom.Camera(stage.GetPrimAtPath("/World/Camera")).GetCamera(time)
    matrix = np.array(camera.frustum.ComputeViewMatrix() * camera.frustum.ComputeProjectionMatrix())
    clip = np.column_stack([points, np.ones(len(points))]) @ matrix
    ndc = clip[:, :2] / clip[:, 3:]
    return np.column_stack([(ndc[:, 0] + 1) / 2 * width, (1 - ndc[:, 1]) / 2 * height])


@pytest.mark.parametrize("up_axis", ["Y", "Z"])
@pytest.mark.parametrize("kind", ["usdc", "usda"])
def test_camera_and_static_points_project_as_in_the_scene(synthetic_scene, tmp_path, up_axis, kind):
    scene = synthetic_scene
    target = tmp_path / f"shot.{kind}"
    export_scene(scene.folder, "usd", target, {"up_axis": up_axis, "stride": 4}, Silent())
    stage = Usd.Stage.Open(str(target))
    assert UsdGeom.GetStageUpAxis(stage) == up_axis and UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (scene.index[0], scene.index[-1])
    assert stage.GetTimeCodesPerSecond() == stage.GetFramesPerSecond() == scene.fps
    assert stage.GetDefaultPrim().GetPath() == "/World"
    R = upright(scene, up_axis)
    np.testing.assert_allclose(R @ scene.up, [0, 1, 0] if up_axis == "Y" else [0, 0, 1], atol=1e-12)
    xyz, rgb, confidence = scene.points()
    static = UsdGeom.Points(stage.GetPrimAtPath("/World/StaticPoints"))
    points = np.array(static.GetPointsAttr().Get())
    np.testing.assert_allclose(points @ R, xyz, atol=1e-5)
    colour = np.array(UsdGeom.PrimvarsAPI(static).GetPrimvar("displayColor").Get())
    np.testing.assert_allclose(colour, linear(rgb), atol=1e-6)
    np.testing.assert_allclose(UsdGeom.PrimvarsAPI(static).GetPrimvar("confidence").Get(), confidence)
    for position, index in enumerate(scene.index):
        pixels = pixels_through_usd_camera(stage, float(index), points.astype(np.float64), scene.width, scene.height)
        expected, _ = scene_projection(scene, position, xyz.astype(np.float64), distorted=False)
        assert np.abs(pixels - expected).max() < 0.05


def test_camera_has_samples_of_every_lens_attribute(synthetic_scene, tmp_path):
    scene = synthetic_scene
    export_scene(scene.folder, "usd", tmp_path / "shot.usdc", {"first_frame": 1}, Silent())
    stage = Usd.Stage.Open(str(tmp_path / "shot.usdc"))
    camera = UsdGeom.Camera(stage.GetPrimAtPath("/World/Camera"))
    for attribute in (
        camera.GetFocalLengthAttr(),
        camera.GetHorizontalApertureAttr(),
        camera.GetVerticalApertureAttr(),
        camera.GetHorizontalApertureOffsetAttr(),
        camera.GetVerticalApertureOffsetAttr(),
        camera.GetOrderedXformOps()[0].GetAttr(),
    ):
        assert attribute.GetTimeSamples() == [index + 1.0 for index in scene.index]
    near, far = camera.GetClippingRangeAttr().Get()
    assert 0 < near < 1 < WALL_Z < far
    assert camera.GetPrim().GetAttribute("geo4d:k1").Get() == pytest.approx(scene.k1)


def test_depth_points_are_animated_and_coloured(synthetic_scene, tmp_path):
    scene = synthetic_scene
    progress = Silent()
    export_scene(scene.folder, "usd", tmp_path / "shot.usdc", {"stride": 3}, progress)
    assert progress.warnings == []
    stage = Usd.Stage.Open(str(tmp_path / "shot.usdc"))
    points = UsdGeom.Points(stage.GetPrimAtPath("/World/DepthPoints"))
    primvars = UsdGeom.PrimvarsAPI(points)
    assert points.GetPointsAttr().GetTimeSamples() == [float(i) for i in scene.index]
    R = upright(scene, "Y")
    plate = linear(colour_picture(scene.width, scene.height).reshape(-1, 3)).reshape(scene.height, scene.width, 3)
    for position, index in enumerate(scene.index):
        time = float(index)
        xyz = np.array(points.GetPointsAttr().Get(time)).astype(np.float64)
        np.testing.assert_allclose((xyz @ R)[:, 2], WALL_Z, atol=2e-5)
        low, high = np.array(points.GetExtentAttr().Get(time))
        np.testing.assert_allclose([low, high], [xyz.min(0), xyz.max(0)], atol=1e-6)
        colour = np.array(primvars.GetPrimvar("displayColor").Get(time))
        confidence = np.array(primvars.GetPrimvar("confidence").Get(time))
        assert len(xyz) == len(colour) == len(confidence) == len(points.GetWidthsAttr().Get(time))
        assert len(primvars.GetPrimvar("dynamic").Get(time)) == len(xyz) > 100
        pixels, _ = scene_projection(scene, position, xyz @ R)
        inside = ((pixels > 1) & (pixels < [scene.width - 1, scene.height - 1])).all(axis=1)
        shown = plate[pixels[inside, 1].astype(int), pixels[inside, 0].astype(int)]
        assert np.abs(colour[inside] - shown).max() < 0.01


def test_scene_without_depth_or_points(tmp_path):
    scene = make_scene(tmp_path)
    (scene.folder / "points.npz").unlink()
    export_scene(scene.folder, "usd", tmp_path / "bare", {"depth_points": False}, Silent())
    stage = Usd.Stage.Open(str(tmp_path / "bare.usdc"))
    assert not stage.GetPrimAtPath("/World/DepthPoints")
    assert len(UsdGeom.Points(stage.GetPrimAtPath("/World/StaticPoints")).GetPointsAttr().Get()) == 0
    assert stage.GetEndTimeCode() == scene.index[-1]


def test_unknown_ending_is_refused_and_exporting_again_replaces(tmp_path):
    scene = make_scene(tmp_path)
    with pytest.raises(BadRequest) as caught:
        export_scene(scene.folder, "usd", tmp_path / "shot.abc", {}, Silent())
    assert caught.value.code == "bad_target" and "shot.abc" in caught.value.message
    for stride in (5, 2):
        export_scene(scene.folder, "usd", tmp_path / "out" / "shot.usda", {"stride": stride}, Silent())
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["shot.usda"]


def test_missing_usd_package_says_what_to_install(tmp_path):
    scene = make_scene(tmp_path)
    script = (
        "import sys; sys.modules['pxr'] = None\n"
        "from geo4d.export import export_scene; from geo4d.progress import Silent\n"
        "try: export_scene(sys.argv[1], 'usd', sys.argv[2], {}, Silent())\n"
        "except Exception as e: print(type(e).__name__, e.code, e.exit_status, e.hint)"
    )
    arguments = [sys.executable, "-c", script, str(scene.folder), str(tmp_path / "shot.usd")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.startswith('ModelMissing usd_missing 5 Install it with: pip install "geo4d[usd]"')
