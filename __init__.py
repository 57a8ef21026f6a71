"""Entry of the Blender extension: hands over to the add-on."""


def register():
    from . import geo4d_blender

    geo4d_blender.register()


def unregister():
    from . import geo4d_blender

    geo4d_blender.unregister()
