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

    The folder ``package`` beside this module has a module ``convert`` with a function
    ``convert(*files, output, progress=...)`` that makes ``file`` of the ``sources``, given in their order, and returns
    the manifest.
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
    package: str = ""  # several cards may share one; empty = the model's name
    shipped: bool = False  # its weights come with the program; it has no sources
    rough: bool = False  # its cameras are only taken where the tracks' own explain less

    @property
    def folder(self) -> str:
        return self.package or self.name


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


def _vggt_card(name: str, source: SourceFile, weights_bytes: int, **terms) -> ModelCard:
    """One of the VGGT family, which share an engine."""
    return ModelCard(
        name=name,
        sources=(source,),
        file=f"{name}.safetensors",
        bytes_about=weights_bytes,
        runs_on="NVIDIA GPU of 8 GB or more; slowly on a CPU",
        package="vggt4d",
        **terms,
    )


def _vggt_source(repository: str, revision: str, gated: bool = False, sha256: str | None = None) -> SourceFile:
    """VGGT's one file, of the same layout in every repository of its authors."""
    hub = HubFile(repository, revision, "model.safetensors", gated)
    address = f"https://huggingface.co/{repository}"
    return SourceFile(hub.path, address, 5_026_367_224, hub, bytes_exact=5_026_367_224, sha256=sha256)


VGGT_1B = _vggt_card(
    "vggt-1b",
    _vggt_source(
        "facebook/VGGT-1B",
        "860abec7937da0a4c03c41d3c269c366e82abdf9",
        sha256="f164acf60724910d8fe1578bb499d800850c7bb0948db7555c413f9fbe60467e",
    ),
    4_763_000_000,
    title="VGGT-1B, feed-forward cameras, depth and points of all frames at once, 1.26 billion parameters",
    paper="arXiv 2503.11651",
    licence="CC BY-NC 4.0",
    commercial_use=False,
    licence_note="No commercial use of the weights; vggt-1b-commercial is the same network with weights that allow it.",
)

VGGT_1B_COMMERCIAL = _vggt_card(
    "vggt-1b-commercial",
    # Its hash is known from one third party alone, so it is compared after the fact; see vggt4d.convert.
    _vggt_source("facebook/VGGT-1B-Commercial", "ebb29a532abe92960eeb6903a5530f16990ef4ab", gated=True),
    4_763_000_000,
    title="VGGT-1B-Commercial, as VGGT-1B with weights for commercial use",
    paper="arXiv 2503.11651",
    licence="VGGT License v1",
    commercial_use=True,
    licence_note="Commercial use is allowed under its acceptable-use policy, which excludes military use among others; "
    "the authors want a form with name and affiliation before the download.",
)

VGGT_4D = _vggt_card(
    "4d-vggt",
    SourceFile(
        "4d-vggt-geometry-v1.pt",
        "https://huggingface.co/Aurora03/4D-VGGT-models",
        7_215_706_998,
        # No commit of the release is known; size and hash come from one third party.
        hub=HubFile("Aurora03/4D-VGGT-models", "main", "4d-vggt-geometry-v1.pt"),
    ),
    7_215_000_000,
    title="4D-VGGT geometry v1, VGGT with a second trunk over time, 1.80 billion parameters",
    paper="4D-VGGT, release version-1.0",
    licence="MIT as declared",
    commercial_use=False,
    licence_note="Commercial use is doubtful: it is declared MIT, but the weights grew from VGGT's, whose licences do "
    "not allow that (CC BY-NC 4.0, or derivatives under the VGGT License alone); for research until the authors say.",
)

VGGT_MINI = ModelCard(
    name="vggt-mini",
    title="4D-VGGT, small twin trained on procedural scenes, 4.2 million parameters",
    paper="this project, docs/model-vggt4d.md",
    licence="CC0-1.0",
    commercial_use=True,
    licence_note="Trained by this project on procedural scenes alone; use it for anything. It is a demonstration: its "
    "depth is rough, its cameras are found by the tracks, and it is not for plates.",
    sources=(),
    file="vggt-mini.safetensors",
    bytes_about=8_400_000,
    runs_on="any CPU",
    package="vggt4d",
    shipped=True,
    rough=True,
)

MINI = ModelCard(
    name="mini",
    title="mini, a small video diffusion for geometry, 1.8 million parameters",
    paper="this project, docs/model-mini.md",
    licence="CC0-1.0",
    commercial_use=True,
    licence_note="Trained by this project on procedural scenes alone; use it for anything. It is a demonstration: its "
    "depth is rough, and not for plates.",
    sources=(),
    file="mini.safetensors",
    bytes_about=3_700_000,
    runs_on="any CPU",
    shipped=True,
    rough=True,
)

MODELS = {card.name: card for card in (GEO4D, VGGT_4D, VGGT_1B_COMMERCIAL, VGGT_1B, VGGT_MINI, MINI)}


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
    """Where the weights of a model lie, or would."""
    model = card(name)
    return (
        Path(__file__).parent / model.folder / "weights" / model.file if model.shipped else models_folder() / model.file
    )
