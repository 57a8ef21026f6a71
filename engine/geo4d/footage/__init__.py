"""Footage in: movies and image sequences as a Shot whose frames are streamed, never held all at once."""
