"""The scene folder: the only thing, beside JSON lines, that the engine and the add-on share."""
