"""The models that geo4d knows: where each comes from, under which licence, and where it lies on this machine."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadRequest

FOLDER_VARIABLE = "GEO4D_MODELS"


@dataclass(frozen=True)
class HubFile:
    """Where a file lies on the Hugging Face hub."""

    repository: str  # owner/name
    revision: str  # commit, so that the file cannot change
    path: str
    gated: bool = False  # the owner wants to be asked first


@dataclass(frozen=True)
class SourceFile:
    """One file of an official release: on the hub, at a plain address, or where only a person can fetch it."""

    name: str
    where: str  # what a person needs to find it
    bytes_about: int
    hub: HubFile | None = None
    url: str | None = None
    bytes_exact: int | None = None
    sha256: str | None = None

    @property
    def fetchable(self) -> bool:
        return self.hub is not None or self.url is not None


@dataclass(frozen=True)
class ModelCard:
    """What a user must know before using a model.

    The model's folder has a module ``convert`` with a function ``convert(*files, output, progress=...)`` that makes
    ``file`` of the ``sources``, given in their order, and returns the manifest.
    """

    name: str
    title: str
    paper: str
    licence: str | None  # None = the authors state none
    commercial_use: bool
    licence_note: str
    sources: tuple[SourceFile, ...]
    file: str  # name of the converted weights
    bytes_about: int
    runs_on: str


GEO4D = ModelCard(
    name="geo4d",
    title="Geo4D, video diffusion for geometry, 1.44 billion parameters",
    paper="arXiv 2504.07961",
    licence=None,
    commercial_use=False,
    licence_note="The authors state no licence for the weights, so only private use can be assumed; ask them for more.",
    sources=(
        SourceFile("model.ckpt", "Google Drive file 11K0ubqytun-SA5RIOgR7ejNIR8B4uois", 10_440_000_000),
        SourceFile("vae.ckpt", "Google Drive file 10SPKkOpou2lKl9bwkgx1d6YocYkmSxQl", 338_000_000),
    ),
    file="geo4d.safetensors",
    bytes_about=3_150_000_000,
    runs_on="NVIDIA GPU of 12 GB or more; slowly on a CPU",
)

MODELS = {card.name: card for card in (GEO4D,)}


def card(name: str) -> ModelCard:
    """The card of ``name``. Raises BadRequest for a name that is not known."""
    if name not in MODELS:
        raise BadRequest("model_unknown", f"There is no model named {name}.", f"Known are: {', '.join(MODELS)}.")
    return MODELS[name]


def models_folder() -> Path:
    """Where converted weights lie: $GEO4D_MODELS, or the user's cache folder."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen)
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "geo4d" / "models"


def weights_path(name: str) -> Path:
    return models_folder() / card(name).file
