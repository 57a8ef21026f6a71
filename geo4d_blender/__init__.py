"""Geo4D's add-on: starts the engine as a subprocess and turns the scene folder it writes into native Blender data."""

from . import job, operators, panels, preferences, settings

# Settings come before the panels that show them; the job comes last so that unregister ends the engine first.
_modules = (preferences, settings, operators, panels, job)


def register():
    for module in _modules:
        module.register()


def unregister():
    for module in reversed(_modules):
        module.unregister()
