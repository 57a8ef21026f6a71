"""What the buttons do."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from . import compat, engines, export_usd, footage_source, job, preferences
from .import_scene import ImportOptions, import_scene, import_steps

SOURCES = [
    ("STRIP", "Strip", "The active strip of the sequencer"),
    ("CLIP", "Clip", "The clip of the Movie Clip Editor"),
    ("FILE", "File", "A movie or image sequence on disk"),
]


def chosen_footage(source: str, filepath: str, context: bpy.types.Context) -> footage_source.Footage:
    """The footage that an operator's ``source`` stands for. Raises SourceError."""
    if source == "STRIP":
        return footage_source.from_strip(compat.active_strip(context), compat.sequencer_scene(context))
    if source == "CLIP":
        clip = getattr(context.space_data, "clip", None) or getattr(context, "edit_movieclip", None)
        return footage_source.from_clip(clip, context.scene)
    return footage_source.from_file(filepath or context.scene.geo4d.footage, context.scene)


def root_of(context: bpy.types.Context) -> bpy.types.Object | None:
    """Parent empty of the imported scene that the active object belongs to, else the newest one in the scene."""
    item = context.view_layer.objects.active
    while item is not None:
        if "geo4d_scene" in item:
            return item
        item = item.parent
    roots = [o for o in context.scene.objects if "geo4d_scene" in o]
    return roots[-1] if roots else None


def import_options(blender_scene: bpy.types.Scene, start_frame: int, footage: Path | None = None) -> ImportOptions:
    """How the scene's settings want a result brought in."""
    options = blender_scene.geo4d.import_options(start_frame)
    options.footage = footage
    return options


def import_when_done(footage: footage_source.Footage, scene_name: str):
    """What follows a finished reconstruction, in steps. The scene is looked up by name: it may be gone by then."""

    def import_result(finished: job.Job):
        blender_scene = bpy.data.scenes.get(scene_name)
        if blender_scene is None:
            return
        folder = Path(finished.result["scene"])
        blender_scene.geo4d.scene_folder = str(folder)
        options = import_options(blender_scene, footage.start_frame, footage.path)
        try:
            imported = yield from import_steps(folder, blender_scene, options)
        # ReferenceError: the user deleted something of it between two steps.
        except (compat.scene_reader.SceneError, OSError, RuntimeError, ReferenceError) as error:
            finished.error = {"code": "import_failed", "message": str(error), "hint": f"The scene is in {folder}."}
            return
        finished.summary = imported.summary
        finished.warnings += [{"code": "import", "message": text, "hint": ""} for text in imported.warnings]

    return import_result


class GEO4D_OT_reconstruct(bpy.types.Operator):
    """Solve the camera of the footage, measure its depth, and bring both into this scene"""

    bl_idname = "geo4d.reconstruct"
    bl_label = "Reconstruct 4D"

    source: EnumProperty(name="Source", items=SOURCES, default="FILE", options={"SKIP_SAVE"})
    filepath: StringProperty(name="Footage", options={"SKIP_SAVE"})
    wait: BoolProperty(
        name="Wait", description="Return when the engine is done, for scripts", options={"SKIP_SAVE", "HIDDEN"}
    )

    @classmethod
    def poll(cls, context):
        cls.poll_message_set("A reconstruction is running")
        return job.current is None or not job.current.running

    def execute(self, context):
        settings = context.scene.geo4d
        engine = engines.ENGINES[settings.engine]
        python = preferences.engine_python(engine)
        if engine.needs_models_python and not python:
            self.report({"ERROR"}, f"{engine.label} needs a Python that has torch. Choose one in the preferences.")
            return {"CANCELLED"}
        try:
            footage = chosen_footage(self.source, self.filepath, context)
            output = settings.output_folder(footage)
            when_done = import_when_done(footage, context.scene.name)
            job.start(footage, output, settings.engine_arguments(), python, when_done)
        except footage_source.SourceError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except OSError as error:
            self.report({"ERROR"}, f"The engine cannot be started ({error}). Check the interpreter in the preferences.")
            return {"CANCELLED"}
        if self.wait or bpy.app.background:
            job.wait()
            return self._report_end(job.current)
        return {"FINISHED"}

    def _report_end(self, ended: job.Job):
        if ended.state == "FAILED":
            self.report({"ERROR"}, f"{ended.error['message']} {ended.error['hint']}")
        return {"FINISHED"} if ended.state == "DONE" else {"CANCELLED"}


class GEO4D_OT_cancel(bpy.types.Operator):
    """Stop the engine; what it has finished is kept and used by the next run"""

    bl_idname = "geo4d.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context):
        return job.current is not None and job.current.state == "RUNNING"

    def execute(self, context):
        job.current.cancel()
        return {"FINISHED"}


class GEO4D_OT_import_scene(bpy.types.Operator):
    """Bring a reconstructed scene into this file"""

    bl_idname = "geo4d.import_scene"
    bl_label = "Import Scene"
    bl_options = {"UNDO"}  # noqa: RUF012 - Blender wants a plain set

    directory: StringProperty(name="Scene Folder", subtype="DIR_PATH", options={"SKIP_SAVE"})
    start_frame: IntProperty(name="Start Frame", description="Scene frame of the footage's first frame", default=1)

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        folder = Path(bpy.path.abspath(self.directory or context.scene.geo4d.scene_folder))
        try:
            imported = import_scene(folder, context.scene, import_options(context.scene, self.start_frame))
        except compat.scene_reader.SceneError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for text in imported.warnings:
            self.report({"WARNING"}, text)
        context.scene.geo4d.scene_folder = str(folder)
        return {"FINISHED"}


class GEO4D_OT_export_usd(bpy.types.Operator, ExportHelper):
    """Write the reconstructed camera and points to a USD file"""

    bl_idname = "geo4d.export_usd"
    bl_label = "Export USD"

    filename_ext = ".usdc"
    filter_glob: StringProperty(default="*.usd;*.usda;*.usdc;*.usdz", options={"HIDDEN"})

    @classmethod
    def poll(cls, context):
        if not compat.can_export_usd():
            cls.poll_message_set("This Blender was built without USD")
            return False
        cls.poll_message_set("No reconstructed scene is imported here")
        return root_of(context) is not None

    def execute(self, context):
        try:
            export_usd.export_usd(self.filepath, root_of(context), context.scene)
        except (OSError, RuntimeError) as error:
            self.report({"ERROR"}, f"{self.filepath} cannot be written ({error}). Choose another folder.")
            return {"CANCELLED"}
        return {"FINISHED"}


class EngineQuestion:
    """An operator that asks the engine one thing, which it answers in moments."""

    @classmethod
    def poll(cls, context):
        cls.poll_message_set("The engine is busy")
        return job.current is None or not job.current.running

    def execute(self, context):
        try:
            self.ask(context)
        except OSError as error:
            self.report({"ERROR"}, f"The engine cannot be started ({error}). Check the interpreter.")
            return {"CANCELLED"}
        if bpy.app.background:
            job.wait()
        return {"FINISHED"}


class GEO4D_OT_accept_licence(EngineQuestion, bpy.types.Operator):
    """Agree to the terms shown above: they say what may be done with the model and with what it makes"""

    bl_idname = "geo4d.accept_licence"
    bl_label = "Accept Licence"

    def ask(self, context):
        engine = engines.ENGINES[context.scene.geo4d.engine]
        job.accept_licence(engine.name, preferences.engine_python(engine))


class GEO4D_OT_check_engine(EngineQuestion, bpy.types.Operator):
    """Ask the engine what it can do with the chosen interpreter"""

    bl_idname = "geo4d.check_engine"
    bl_label = "Check Engine"

    def ask(self, context):
        job.check_engine(preferences.engine_python())


_classes = (
    GEO4D_OT_accept_licence,
    GEO4D_OT_check_engine,
    GEO4D_OT_reconstruct,
    GEO4D_OT_cancel,
    GEO4D_OT_import_scene,
    GEO4D_OT_export_usd,
)


def register():
    for cls in _classes:
        bpy.utils.register_class(cls)


def unregister():
    for cls in reversed(_classes):
        bpy.utils.unregister_class(cls)
