"""The panels: one "Geo4D" tab in the 3D view, the sequencer and the clip editor."""

import textwrap

import bpy

from . import cloud, compat, depth_points, job
from .engines import ENGINES
from .import_scene import QUALITY
from .operators import root_of

STAGE_NAMES = {
    "start": "Starting",
    "read": "Reading the footage",
    "cuts": "Looking for cuts",
    "track": "Tracking points",
    "match": "Matching distant frames",
    "pairs": "Comparing frames",
    "map": "Solving the camera",
    "survey": "Surveying the camera's motion",
    "turn": "Solving the camera",
    "tripod": "Solving the camera",
    "solve": "Solving the camera",
    "adjust": "Refining the camera",
    "resect": "Placing the remaining frames",
    "depth": "Measuring depth",
    "agree": "Bringing frames into agreement",
    "predict": "Running the model",
    "align": "Aligning the windows",
    "import": "Importing",
}


def clock(seconds: float) -> str:
    """Seconds as people say them: 45 s, 3 min 20 s."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def draw_text(layout, text: str, width: int, icon: str = "BLANK1") -> None:
    """Text in as many lines as the sidebar's width in pixels needs."""
    characters = max(24, int(width / (7.5 * bpy.context.preferences.system.ui_scale)))
    column = layout.column(align=True)
    for i, line in enumerate(textwrap.wrap(text, characters)):
        column.label(text=line, icon=icon if i == 0 else "BLANK1")


def draw_job(layout, width: int) -> None:
    """Progress of the running job, or how the last one ended."""
    current = job.current
    if current is None:
        return
    box = layout.box()
    if current.running:
        label = STAGE_NAMES.get(current.stage, current.stage.title())
        count = f"  {current.done} / {current.total}" if current.total > 1 else ""
        box.label(text=f"{current.title}: {label}{count}")
        box.progress(factor=current.fraction, type="BAR", text=progress_text(current))
        box.operator("geo4d.cancel", icon="X")
    elif current.state == "DONE":
        box.label(text=f"{current.title}: done", icon="CHECKMARK")
        for line in current.summary:
            draw_text(box, line, width)
    elif current.state == "CANCELLED":
        box.label(text=f"{current.title}: cancelled", icon="X")
        draw_text(box, "Reconstruct again to continue where it stopped.", width)
    else:
        draw_text(box, current.error["message"], width, "ERROR")
        if current.error["code"] == "licence_not_accepted":
            box.operator("geo4d.accept_licence", icon="CHECKMARK")
        else:
            draw_text(box, current.error["hint"], width)
    for warning in current.warnings:
        draw_text(box, f"{warning['message']} {warning['hint']}", width, "INFO")


def progress_text(current: job.Job) -> str:
    if current.state == "CANCELLING":
        return "Cancelling"
    left = f"about {clock(current.eta_s)} left" if current.eta_s is not None else "estimating"
    return f"{current.fraction:.0%}, {left}"


class _ReconstructPanel:
    """What the three editors share; ``source`` names what the button takes."""

    bl_label = "Reconstruct"
    bl_region_type = "UI"
    bl_category = "Geo4D"
    source = "FILE"

    def draw(self, context):
        layout = self.layout
        settings = context.scene.geo4d
        if self.source == "FILE":
            layout.prop(settings, "footage", text="")
        layout.prop(settings, "engine", text="")
        licence = ENGINES[settings.engine].licence
        if licence:
            draw_text(layout, licence, context.region.width, "ERROR")
        row = layout.row()
        row.scale_y = 1.4
        row.operator("geo4d.reconstruct", icon="CAMERA_DATA").source = self.source
        draw_job(layout, context.region.width)


class _SettingsPanel:
    bl_label = "Settings"
    bl_region_type = "UI"
    bl_category = "Geo4D"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012 - Blender wants a plain set

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = context.scene.geo4d
        layout.prop(settings, "depth_size")
        layout.prop(settings, "step")
        layout.prop(settings, "lens_known")
        column = layout.column()
        column.active = settings.lens_known
        column.prop(settings, "focal_mm")
        column = layout.column()
        column.active = not settings.lens_known
        column.prop(settings, "lens")
        layout.prop(settings, "sensor_mm")
        layout.prop(settings, "output")
        column = layout.column(heading="Import")
        for name in ("plate", "undistort_plate", "depth_points", "static_cloud", "set_scene"):
            column.prop(settings, name)


def _panel(base, editor: str, source: str = "FILE", **attributes):
    """A panel class of ``base`` for one editor."""
    kind = base.__name__.strip("_").removesuffix("Panel").lower()
    name = f"GEO4D_PT_{kind}_{editor.lower()}"
    namespace = {"bl_space_type": editor, "bl_idname": name, "source": source, **attributes}
    return type(name, (base, bpy.types.Panel), namespace)


class GEO4D_PT_scene(bpy.types.Panel):
    """Import, controls of the imported points, export"""

    bl_label = "Scene"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Geo4D"

    def draw(self, context):
        layout = self.layout
        layout.operator("geo4d.import_scene", icon="IMPORT")
        layout.operator("geo4d.export_usd", icon="EXPORT")
        root = root_of(context)
        if root is None:
            return
        layout.label(text=root.name, icon="EMPTY_ARROWS")
        draw_quality(layout, root, context.region.width)
        for item in root.children:
            for modifier in item.modifiers:
                if modifier.type == "NODES" and modifier.node_group is not None:
                    draw_controls(layout, item, modifier)


def draw_quality(layout, root: bpy.types.Object, width: int) -> None:
    """How good the camera is, and why where it is not good; scenes of before grades existed say nothing."""
    lines = root.get(QUALITY, "").splitlines()
    if not lines:
        return
    draw_text(layout, lines[0], width, "CHECKMARK" if lines[0].startswith("Camera: good") else "INFO")
    for line in lines[1:]:
        draw_text(layout, line, width)


CONTROLS = {depth_points.GROUP: depth_points.CONTROLS, cloud.GROUP: cloud.CONTROLS}


def draw_controls(layout, item: bpy.types.Object, modifier: bpy.types.NodesModifier) -> None:
    """The sockets of one of our node groups that are meant for the user."""
    controls = CONTROLS.get(modifier.node_group.name)
    if controls is None:
        return
    box = layout.box()
    header = box.row()
    header.label(text=item.name, icon="OUTLINER_OB_POINTCLOUD")
    header.prop(item, "hide_viewport", text="", emboss=False)
    header.prop(item, "hide_render", text="", emboss=False)
    column = box.column(align=True)
    for name, *_ in controls:
        compat.draw_modifier_input(column, modifier, name)


_classes = (
    _panel(_ReconstructPanel, "VIEW_3D"),
    _panel(_ReconstructPanel, "SEQUENCE_EDITOR", "STRIP"),
    _panel(_ReconstructPanel, "CLIP_EDITOR", "CLIP"),
    GEO4D_PT_scene,
    _panel(_SettingsPanel, "VIEW_3D"),
    _panel(_SettingsPanel, "SEQUENCE_EDITOR"),
    _panel(_SettingsPanel, "CLIP_EDITOR"),
)


def register():
    for cls in _classes:
        bpy.utils.register_class(cls)


def unregister():
    for cls in reversed(_classes):
        bpy.utils.unregister_class(cls)
