"""What the pipeline needs of a model that sees a shot window by window, whichever model it is.

A model's folder (``ModelCard.folder``) has a module ``engine`` with one function ``open_model(request, progress)``,
which returns a :class:`WindowedModel`; nothing else of the folder is known outside. Importing ``engine`` may import
torch.
"""

import hashlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from ..errors import ModelMissing
from ..progress import Progress
from . import licence, registry
from .prediction import Prediction

STAGE = "predict"  # the one stage name that every model reports its progress under
_PROBE_BYTES = 4 << 20

Precision = Literal["auto", "float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class ModelOptions:
    """What a user may choose of any model; what a model has no use for it ignores.

    weights : file; None = where ``geo4d models`` keeps it.
    device : ``auto`` takes the accelerator where there is one.
    precision : of the network's weights and arithmetic; geometry is float32 in any case. ``auto`` = half precision
        on an accelerator, float32 on a CPU.
    stride : frames between windows, None = the model's own.
    steps : of denoising, None = the model's own.
    exact : the released system's quirks as well, for comparing with it.
    low_memory : slower, in as little memory as the model can.
    """

    weights: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision = "auto"
    stride: int | None = None
    steps: int | None = None
    exact: bool = False
    low_memory: bool = False


@dataclass(frozen=True)
class ModelRequest:
    """A shot for a model. ``read(positions, (w, h))`` gives uint8 (N, h, w, 3) RGB, resized without cropping."""

    width: int  # of the footage, pixels
    height: int
    frame_count: int
    fps: float
    read: Callable[[Sequence[int], tuple[int, int]], np.ndarray]
    options: ModelOptions


class WindowedModel(Protocol):
    """A model with its weights, ready to run on one shot."""

    windows: list[np.ndarray]  # positions in the shot of each window, (T,) int64; together they cover all frames

    def run(self, finished: frozenset[int]) -> Iterator[tuple[int, Prediction]]:
        """(number, Prediction) of every window not in ``finished``, in order.

        A window's prediction depends on the request alone, not on which windows were finished before, so that a run
        continues where it stopped. Reports under :data:`STAGE`; raises ``geo4d.errors``.
        """
        ...


class OneByOne:
    """A :class:`WindowedModel` whose windows have nothing to do with each other: it has ``predict`` for one."""

    windows: list[np.ndarray]
    progress: Progress

    def run(self, finished: frozenset[int] = frozenset()) -> Iterator[tuple[int, Prediction]]:
        for number, positions in enumerate(self.windows):
            self.progress.advance(STAGE, number, len(self.windows))
            if number not in finished:
                yield number, self.predict(positions, number)

    def predict(self, positions: np.ndarray, number: int) -> Prediction:
        """The window at ``positions`` (T,) of the shot."""
        raise NotImplementedError


def check_model(name: str, options: ModelOptions) -> None:
    """Whether ``name`` may and can be run, in a moment and without torch. Raises BadRequest or ModelMissing.

    The user must have agreed to a licence that does not allow every use.
    """
    card = registry.card(name)
    licence.require(card)
    weights = weights_file(name, options)
    if not weights.is_file():
        raise ModelMissing(
            "weights_missing",
            f"The weights of {card.name} are not at {weights}.",
            f"Run geo4d models info {card.name} to see where they come from.",
        )


def open_model(name: str, request: ModelRequest, progress: Progress) -> WindowedModel:
    """The model ``name`` for one shot, after :func:`check_model`. Raises BadRequest, ModelMissing or OutOfMemory."""
    try:
        engine = importlib.import_module(f".{registry.card(name).folder}.engine", __package__)
    except ImportError as error:
        raise ModelMissing(
            "package_missing",
            f"The package {error.name} is not installed.",
            'Run pip install "geo4d[gpu]", or choose a Python that has it in the preferences.',
        ) from error
    # Several models may share an engine, which learns from the weights which of them it is.
    options = replace(request.options, weights=str(weights_file(name, request.options)))
    return engine.open_model(replace(request, options=options), progress)


def weights_file(name: str, options: ModelOptions) -> Path:
    """Where the weights of a run lie."""
    return Path(options.weights) if options.weights else registry.weights_path(name)


def weights_identity(path: Path) -> str:
    """Hash that differs for different weights, without reading gigabytes: size, beginning and end.

    Raises ModelMissing where there is no such file.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.blake2b(str(size).encode(), digest_size=16)
            digest.update(file.read(_PROBE_BYTES))
            file.seek(max(0, size - _PROBE_BYTES))
            digest.update(file.read(_PROBE_BYTES))
    except OSError as error:
        raise ModelMissing(
            "weights_missing", f"There are no weights at {path}.", "Run geo4d models list, or give another --weights."
        ) from error
    return digest.hexdigest()
