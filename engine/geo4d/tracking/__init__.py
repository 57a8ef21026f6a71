"""Long 2D tracks of a shot."""
