"""What the user chooses in the panels, stored with each scene."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import compat, footage_source, import_scene
from .compat import PACKAGE
from .engines import ITEMS, TRACKS


class GEO4D_PG_settings(bpy.types.PropertyGroup):
    footage: StringProperty(name="Footage", description="Movie, or any image of a sequence", subtype="FILE_PATH")
    output: StringProperty(
        name="Output",
        description="Folder for reconstructed scenes; empty: beside the saved .blend, else Geo4D's own user folder",
        subtype="DIR_PATH",
    )
    scene_folder: StringProperty(name="Scene", description="Folder of a reconstructed scene", subtype="DIR_PATH")
    engine: EnumProperty(name="Engine", description="What reconstructs the footage", items=ITEMS, default=TRACKS)
    step: IntProperty(name="Step", description="Use every N-th frame of the footage", default=1, min=1, max=100)
    lens_known: BoolProperty(name="Known Lens", description="Solve with this focal length instead of finding it")
    focal_mm: FloatProperty(
        name="Focal Length", description="Focal length in millimetres", default=35.0, min=1.0, max=2000.0
    )
    lens: EnumProperty(
        name="Lens",
        description="Whether the focal length changes within the shot",
        items=[
            ("auto", "Automatic", "Zoom only where the footage shows it"),
            ("fixed", "Fixed", "One focal length for the whole shot"),
            ("zoom", "Zoom", "A focal length for every frame"),
        ],
        default="auto",
    )
    sensor_mm: FloatProperty(
        name="Sensor Width",
        description="Width of the camera's sensor in millimetres; also used for the imported camera",
        default=36.0,
        min=1.0,
        max=100.0,
    )
    depth_size: EnumProperty(
        name="Depth",
        description="Size of the depth maps",
        items=[
            ("0", "None", "Camera and static cloud only"),
            ("320", "Low", "320 pixels on the longer side"),
            ("448", "Medium", "448 pixels on the longer side"),
            ("640", "High", "640 pixels on the longer side"),
        ],
        default="448",
    )
    plate: BoolProperty(name="Plate", description="Show the footage behind the camera's view", default=True)
    undistort_plate: BoolProperty(
        name="Undistort",
        description="Straighten the plate with the solved lens, so that it fits Blender's camera",
        default=True,
    )
    depth_points: BoolProperty(name="Animated Points", description="Lift the depth of every frame", default=True)
    static_cloud: BoolProperty(name="Static Cloud", description="Bring in the solve's static points", default=True)
    set_scene: BoolProperty(
        name="Set Up Scene", description="Set frame range, frame rate, resolution and active camera", default=True
    )

    def import_options(self, start_frame: int) -> import_scene.ImportOptions:
        return import_scene.ImportOptions(
            start_frame=start_frame,
            sensor_width_mm=self.sensor_mm,
            plate=self.plate,
            undistort_plate=self.undistort_plate,
            depth_points=self.depth_points,
            static_cloud=self.static_cloud,
            set_scene=self.set_scene,
        )

    def engine_arguments(self) -> list[str]:
        """Command-line options of ``geo4d reconstruct`` beside footage, range and output."""
        arguments = ["--model", self.engine, "--step", str(self.step), "--depth-size", self.depth_size]
        if self.lens_known:
            arguments += ["--focal-mm", f"{self.focal_mm:.6g}", "--sensor-mm", f"{self.sensor_mm:.6g}"]
        else:
            arguments += ["--lens", self.lens]
        return arguments

    def output_folder(self, footage: footage_source.Footage) -> Path:
        """Scene folder for ``footage``."""
        if self.output:
            parent = Path(bpy.path.abspath(self.output))
        elif bpy.data.filepath:
            parent = Path(bpy.path.abspath("//geo4d"))
        else:
            parent = Path(bpy.utils.extension_path_user(PACKAGE, path="scenes", create=True))
        return free_folder(parent / footage.name, footage.path)


def free_folder(wanted: Path, footage: Path) -> Path:
    """``wanted``, or that with a number, so that no scene of other footage is overwritten."""
    folder, number = wanted, 1
    while folder.exists() and not _made_from(folder, footage):
        number += 1
        folder = wanted.with_name(f"{wanted.name}_{number}")
    return folder


def _made_from(folder: Path, footage: Path) -> bool:
    """True if the scene in ``folder`` was made from ``footage``."""
    try:
        return Path(compat.scene_reader.read_scene(folder).footage["path"]) == footage
    except (compat.scene_reader.SceneError, KeyError):
        return False


def register():
    bpy.utils.register_class(GEO4D_PG_settings)
    bpy.types.Scene.geo4d = PointerProperty(type=GEO4D_PG_settings)


def unregister():
    del bpy.types.Scene.geo4d
    bpy.utils.unregister_class(GEO4D_PG_settings)
