"""The scene as a USD stage: camera, points of every frame, static cloud.

``/World/Camera`` is an animated UsdGeomCamera with focal length, apertures and aperture offsets per frame,
``/World/DepthPoints`` an animated UsdGeomPoints, ``/World/StaticPoints`` a still one; both carry displayColor
(linear), confidence and, for depth points, dynamic as primvars. Time codes are footage frames plus ``first_frame``.
World: Y up (or Z up, by option). One unit is one metre if the scene's scale is metric; else it is arbitrary, which
``customLayerData`` says. USD cameras have no radial term: undistort the plate with ``geo4d:k1`` first.
"""

from pathlib import Path

import numpy as np

from ..errors import BadRequest, ModelMissing, OutputError
from ..scene.reader import Scene
from ..scene.workspace import output_errors
from .axes import cameras_looking_back, upright
from .cloud import frame_points, static_points
from .film_back import film_backs
from .options import ExportOptions

_KINDS = (".usd", ".usda", ".usdc")


def export_usd(scene: Scene, target: Path, options: ExportOptions, progress) -> Path:
    """Write the file ``target`` (.usd, .usdc or .usda; .usdc is added to a bare name); returns it."""
    try:
        from pxr import Tf, Usd, UsdGeom
    except ImportError as error:
        raise ModelMissing(
            "usd_missing", "USD export needs the usd-core package.", 'Install it with: pip install "geo4d[usd]"'
        ) from error
    target = target if target.suffix else target.with_suffix(".usdc")
    if target.suffix.lower() not in _KINDS:
        raise BadRequest("bad_target", f"{target} is not named as a USD file.", f"End it in {', '.join(_KINDS)}.")
    # USD tells the format by the name, so the temporary file needs the same ending.
    temporary = target.with_name(f".{target.stem}.tmp{target.suffix}")
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()  # says why, in plain words, if the folder cannot be written
        temporary.unlink()
    try:
        stage = Usd.Stage.CreateNew(str(temporary))
        _describe(stage, scene, options)
        R = upright(scene, options.up_axis)
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y if options.up_axis == "Y" else UsdGeom.Tokens.z)
        _add_camera(stage, scene, R, options)
        _add_static(stage, scene, R)
        _add_depth_points(stage, scene, R, options, progress)
        stage.Save()
        del stage
        with output_errors(target):
            temporary.replace(target)
    except Tf.ErrorException as error:
        raise OutputError(
            "output_failed", f"Writing {target} failed ({error}).", "Free some space or choose another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _describe(stage, scene: Scene, options: ExportOptions) -> None:
    from pxr import UsdGeom

    world = UsdGeom.Xform.Define(stage, "/World")
    stage.SetDefaultPrim(world.GetPrim())
    stage.SetStartTimeCode(float(scene.index[0]) + options.first_frame)
    stage.SetEndTimeCode(float(scene.index[-1]) + options.first_frame)
    stage.SetTimeCodesPerSecond(scene.fps)
    stage.SetFramesPerSecond(scene.fps)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.GetRootLayer().customLayerData = {
        "geo4d:scale": scene.scale,
        "geo4d:footage": str(scene.footage.get("path", "")),
        "geo4d:width": int(scene.width),
        "geo4d:height": int(scene.height),
    }


def _add_camera(stage, scene: Scene, R: np.ndarray, options: ExportOptions) -> None:
    from pxr import Gf, Sdf, UsdGeom

    camera = UsdGeom.Camera.Define(stage, "/World/Camera")
    back = film_backs(scene, options.sensor_width_mm)
    transform = camera.AddTransformOp()
    near, far = _clipping(scene)
    camera.CreateClippingRangeAttr(Gf.Vec2f(near, far))
    camera.CreateProjectionAttr(UsdGeom.Tokens.perspective)
    camera.GetPrim().CreateAttribute("geo4d:k1", Sdf.ValueTypeNames.Double).Set(float(scene.k1))
    columns = (
        (camera.CreateFocalLengthAttr(), back.focal),
        (camera.CreateHorizontalApertureAttr(), np.full(len(scene), back.width)),
        (camera.CreateVerticalApertureAttr(), back.height),
        (camera.CreateHorizontalApertureOffsetAttr(), back.offset_x),
        (camera.CreateVerticalApertureOffsetAttr(), back.offset_y),
    )
    for position, c2w in enumerate(cameras_looking_back(scene, R)):
        time = float(scene.index[position]) + options.first_frame
        transform.Set(Gf.Matrix4d(c2w.T.tolist()), time)  # USD multiplies row vectors
        for attribute, values in columns:
            attribute.Set(float(values[position]), time)


def _clipping(scene: Scene) -> tuple[float, float]:
    """Near and far distance that hold everything: a scene of arbitrary scale may be tiny or huge."""
    xyz = static_points(scene)[0]
    if not len(xyz):
        return 0.01, 10000.0
    distance = float(np.median(np.linalg.norm(xyz - scene.c2w[0, :3, 3], axis=1)))
    return 0.001 * distance, 1000.0 * distance


def _add_static(stage, scene: Scene, R: np.ndarray) -> None:
    from pxr import UsdGeom, Vt

    xyz, rgb, confidence = static_points(scene)
    points = UsdGeom.Points.Define(stage, "/World/StaticPoints")
    xyz = (xyz @ R.T).astype(np.float32)
    near, _ = _clipping(scene)
    points.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(xyz))
    points.CreateWidthsAttr(Vt.FloatArray([5.0 * near]))
    points.SetWidthsInterpolation(UsdGeom.Tokens.constant)
    points.CreateExtentAttr(_extent(xyz))
    colour, trust = _primvar(points, "displayColor"), _primvar(points, "confidence")
    colour.Set(Vt.Vec3fArray.FromNumpy(linear(rgb)))
    trust.Set(Vt.FloatArray.FromNumpy(confidence.astype(np.float32)))


def _add_depth_points(stage, scene: Scene, R: np.ndarray, options: ExportOptions, progress) -> None:
    from pxr import UsdGeom, Vt

    if not scene.has_depth or not options.depth_points:
        return
    points = UsdGeom.Points.Define(stage, "/World/DepthPoints")
    position_attribute, widths = points.CreatePointsAttr(), points.CreateWidthsAttr()
    points.SetWidthsInterpolation(UsdGeom.Tokens.vertex)
    extent = points.CreateExtentAttr()
    colour, trust, dynamic = (_primvar(points, name) for name in ("displayColor", "confidence", "dynamic"))
    for position, frame in frame_points(scene, options, progress):
        time = float(scene.index[position]) + options.first_frame
        xyz = (frame.xyz @ R.T).astype(np.float32)
        position_attribute.Set(Vt.Vec3fArray.FromNumpy(xyz), time)
        widths.Set(Vt.FloatArray.FromNumpy(frame.width), time)
        extent.Set(_extent(xyz), time)
        colour.Set(Vt.Vec3fArray.FromNumpy(linear(frame.rgb)), time)
        trust.Set(Vt.FloatArray.FromNumpy(np.ascontiguousarray(frame.confidence)), time)
        dynamic.Set(Vt.FloatArray.FromNumpy(np.ascontiguousarray(frame.dynamic)), time)


def _primvar(points, name: str):
    from pxr import Sdf, UsdGeom

    kind = Sdf.ValueTypeNames.Color3fArray if name == "displayColor" else Sdf.ValueTypeNames.FloatArray
    return UsdGeom.PrimvarsAPI(points).CreatePrimvar(name, kind, UsdGeom.Tokens.vertex)


def _extent(xyz: np.ndarray):
    from pxr import Vt

    corners = np.stack([xyz.min(axis=0), xyz.max(axis=0)]) if len(xyz) else np.zeros((2, 3))
    return Vt.Vec3fArray.FromNumpy(corners.astype(np.float32))


def linear(rgb: np.ndarray) -> np.ndarray:
    """sRGB uint8 (P, 3) to linear float32, which is what displayColor holds."""
    x = rgb.astype(np.float32) / 255.0
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)
