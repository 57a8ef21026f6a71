"""Preferences of the add-on: which Python runs the engine."""

import bpy
from bpy.props import StringProperty

from . import interpreter
from .compat import PACKAGE
from .engines import ENGINES, TRACKS, Engine


class GEO4D_AP_preferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    python: StringProperty(
        name="Python Interpreter",
        description="Python with Geo4D's engine installed; empty: Blender's own with the extension's packages",
        subtype="FILE_PATH",
    )

    models_python: StringProperty(
        name="Python for Models",
        description="Python that has torch, for engines other than Tracks; empty: the interpreter above",
        subtype="FILE_PATH",
    )

    def draw(self, context):
        layout = self.layout
        layout.prop(self, "python")
        layout.prop(self, "models_python")
        layout.operator("geo4d.check_engine", icon="CHECKMARK")
        if not self.python and interpreter.bundled_site_packages() is None:
            column = layout.column(align=True)
            column.label(text="This extension came without the engine's packages for this Blender.", icon="ERROR")
            column.label(text="Scenes can be imported; to reconstruct, choose a Python interpreter that has them.")


def engine_python(engine: Engine = ENGINES[TRACKS]) -> str:
    """The interpreter chosen by the user for ``engine``, empty for Blender's own."""
    chosen = bpy.context.preferences.addons[PACKAGE].preferences
    path = chosen.models_python if engine.needs_models_python and chosen.models_python else chosen.python
    return bpy.path.abspath(path)


def register():
    bpy.utils.register_class(GEO4D_AP_preferences)


def unregister():
    bpy.utils.unregister_class(GEO4D_AP_preferences)
