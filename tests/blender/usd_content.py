"""What a USD file holds, read by usd-core: ``python usd_content.py FILE``; prints JSON."""

import json
import sys

from pxr import Usd, UsdGeom


def describe(path: str) -> dict:
    stage = Usd.Stage.Open(path)
    report = {
        "start": stage.GetStartTimeCode(),
        "end": stage.GetEndTimeCode(),
        "fps": stage.GetTimeCodesPerSecond(),
        "up": UsdGeom.GetStageUpAxis(stage),
        "metres_per_unit": UsdGeom.GetStageMetersPerUnit(stage),
        "cameras": [],
        "points": [],
    }
    for prim in stage.Traverse():
        if prim.IsA(UsdGeom.Camera):
            report["cameras"].append(camera(UsdGeom.Camera(prim)))
        elif prim.IsA(UsdGeom.Points):
            report["points"].append(points(UsdGeom.Points(prim)))
    return report


def samples(attribute) -> dict[str, object]:
    """Value by time code; an attribute without samples gives its default under ``default``."""
    return {str(t): attribute.Get(t) for t in attribute.GetTimeSamples()} or {"default": attribute.Get()}


def camera(schema) -> dict:
    stage = schema.GetPrim().GetStage()
    names = ("FocalLength", "HorizontalAperture", "HorizontalApertureOffset", "VerticalApertureOffset")
    poses = {}
    for time in range(int(stage.GetStartTimeCode()), int(stage.GetEndTimeCode()) + 1):
        matrix = UsdGeom.XformCache(time).GetLocalToWorldTransform(schema.GetPrim())
        poses[str(float(time))] = [list(row) for row in matrix]
    return {"poses": poses, **{name: samples(getattr(schema, f"Get{name}Attr")()) for name in names}}


def points(schema) -> dict:
    cache = UsdGeom.XformCache()
    positions = samples(schema.GetPointsAttr())
    primvars = {p.GetPrimvarName(): p for p in UsdGeom.PrimvarsAPI(schema).GetPrimvars()}
    return {
        "path": str(schema.GetPath()),
        "world": [list(row) for row in cache.GetLocalToWorldTransform(schema.GetPrim())],
        "positions": {time: [list(p) for p in value] for time, value in positions.items()},
        "widths": {time: len(value or []) for time, value in samples(schema.GetWidthsAttr()).items()},
        "primvars": {name: len(p.GetTimeSamples()) for name, p in primvars.items()},
        "primvar_lengths": {
            name: {time: len(value) for time, value in samples(p).items() if hasattr(value, "__len__")}
            for name, p in primvars.items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(describe(sys.argv[1])))
