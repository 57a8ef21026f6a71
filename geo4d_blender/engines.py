"""The engines a user can choose, and what must be known of each before it runs."""

from dataclasses import dataclass

TRACKS = "tracks"


@dataclass(frozen=True)
class Engine:
    """One choice of the panel; the facts are those of the engine's ``geo4d models list``."""

    name: str  # of `geo4d reconstruct --model`
    label: str
    description: str
    licence: str = ""  # what to read before running it, empty where there is nothing to heed

    @property
    def needs_models_python(self) -> bool:
        """Whether it runs only in a Python that has torch."""
        return self.name != TRACKS


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(TRACKS, "Tracks", "Comes with the extension, runs offline on any CPU"),
        Engine(
            "geo4d",
            "Geo4D",
            "Video diffusion for geometry; needs its weights, a Python with torch, and better a GPU of 12 GB",
            "Geo4D's authors state no licence for its weights: private use only.",
        ),
        Engine(
            "4d-vggt",
            "4D-VGGT",
            "Feed-forward cameras, depth and points; needs its weights, a Python with torch, and better a GPU",
            "4D-VGGT is declared MIT, but its weights grew from VGGT's: commercial use is doubtful.",
        ),
        Engine(
            "vggt-1b-commercial",
            "VGGT-1B Commercial",
            "VGGT with weights for commercial use; needs them, a Python with torch, and better a GPU",
            "VGGT License v1: commercial use under its acceptable-use policy.",
        ),
        Engine(
            "vggt-1b",
            "VGGT-1B",
            "Feed-forward cameras, depth and points; needs its weights, a Python with torch, and better a GPU",
            "VGGT-1B is CC BY-NC 4.0: no commercial use.",
        ),
        Engine(
            "mini",
            "Mini",
            "Our own small video diffusion, weights included; a demonstration that needs a Python with torch, no GPU",
            "Mini is a demonstration (CC0): its depth is rough, not for plates. It needs Python for Models.",
        ),
        Engine(
            "vggt-mini",
            "4D-VGGT Mini",
            "Our own small twin of 4D-VGGT, weights included; a demonstration that needs a Python with torch, no GPU",
            "4D-VGGT Mini is a demonstration (CC0): its depth is rough, not for plates. It needs Python for Models.",
        ),
    )
}
ITEMS = [(engine.name, engine.label, engine.description) for engine in ENGINES.values()]
