"""What can be chosen about an export."""

from dataclasses import dataclass, fields
from typing import Literal

from ..errors import BadRequest


@dataclass(frozen=True)
class ExportOptions:
    """A format ignores what it has no use for."""

    stride: int = 2  # every how many-th depth pixel, in both directions
    min_confidence: float = 0.0  # depth pixels below are left out
    up_axis: Literal["Y", "Z"] = "Y"  # of USD and PLY
    first_frame: int = 0  # frame number or time code of footage frame 0
    sensor_width_mm: float = 36.0  # what the picture's width stands for where a film back is wanted
    depth_points: bool = True  # points of every frame, beside the static cloud
    text: bool = False  # COLMAP: text files rather than binary ones


def make_options(values: dict) -> ExportOptions:
    """Options from plain values. Raises BadRequest ``bad_option`` naming the option and its value."""
    known = [field.name for field in fields(ExportOptions)]
    for name in values:
        if name not in known:
            raise BadRequest("bad_option", f"There is no export option {name!r}.", f"Options are {', '.join(known)}.")
    options = ExportOptions(**values)
    _require(options.stride >= 1, "stride", options.stride, "a whole number of 1 or more")
    _require(0 <= options.min_confidence <= 1, "min_confidence", options.min_confidence, "a number from 0 to 1")
    _require(options.up_axis in ("Y", "Z"), "up_axis", options.up_axis, "Y or Z")
    _require(options.sensor_width_mm > 0, "sensor_width_mm", options.sensor_width_mm, "a width above 0")
    return options


def _require(holds: bool, name: str, value, wanted: str) -> None:
    if not holds:
        raise BadRequest("bad_option", f"The export option {name} is {value!r}.", f"Give {wanted}.")
