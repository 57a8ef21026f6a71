"""Read an exported USD file with usd-core and print what is in it as JSON: ``python read_usd.py FILE``."""

import json
import sys

from pxr import Usd, UsdGeom


def describe(path: str) -> dict:
    stage = Usd.Stage.Open(path)
    cameras, points = [], []
    for prim in stage.Traverse():
        if prim.IsA(UsdGeom.Camera):
            camera = UsdGeom.Camera(prim)
            cache = UsdGeom.XformCache()
            places = []
            for time in range(int(stage.GetStartTimeCode()), int(stage.GetEndTimeCode()) + 1):
                cache.SetTime(time)
                places.append(list(cache.GetLocalToWorldTransform(prim).ExtractTranslation()))
            # USD gives focal lengths in tenths of the scene unit.
            unit_mm = UsdGeom.GetStageMetersPerUnit(stage) * 100
            focal_mm = camera.GetFocalLengthAttr().Get(1) * unit_mm
            cameras.append({"positions": places, "focal_mm": focal_mm})
        elif prim.IsA(UsdGeom.Points):
            attribute = UsdGeom.Points(prim).GetPointsAttr()
            times = attribute.GetTimeSamples()
            counts = [len(attribute.Get(time)) for time in times] or [len(attribute.Get() or [])]
            points.append({"samples": len(times), "counts": counts})
    return {"start": stage.GetStartTimeCode(), "end": stage.GetEndTimeCode(), "cameras": cameras, "points": points}


if __name__ == "__main__":
    print(json.dumps(describe(sys.argv[1])))
