"""What the user has agreed to: weights without a licence for every use are neither fetched nor run unasked."""

import hashlib
import json
import time

from ..errors import BadRequest
from ..scene.checkpoint import replace_atomically
from ..scene.workspace import output_errors
from .registry import ModelCard, models_folder

_FILE = "licences.json"


def terms(card: ModelCard) -> str:
    """The licence in one line, as shown before anything is asked."""
    return f"{card.licence or 'none stated'}: {card.licence_note}"


def needs_consent(card: ModelCard) -> bool:
    return card.licence is None or not card.commercial_use


def accepted(card: ModelCard) -> bool:
    """Whether nothing need be asked, or the user has agreed to these very terms."""
    return not needs_consent(card) or _stored().get(card.name, {}).get("terms") == _fingerprint(card)


def accept(card: ModelCard) -> None:
    """Note that the user agrees to the terms of ``card``; changed terms are asked for again."""
    if not needs_consent(card):
        return
    stored = _stored() | {card.name: {"terms": _fingerprint(card), "date": time.strftime("%Y-%m-%d")}}
    path = models_folder() / _FILE
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(path, lambda p: p.write_text(json.dumps(stored, indent=1)))


def require(card: ModelCard) -> None:
    """Raise BadRequest, with the terms in it, where the user has not agreed to them."""
    if not accepted(card):
        raise BadRequest(
            "licence_not_accepted",
            f"The licence of {card.name} is not accepted yet ({terms(card)})",
            f"If you agree, run: geo4d models accept {card.name}",
        )


def _stored() -> dict:
    try:
        stored = json.loads((models_folder() / _FILE).read_text())
    except (OSError, ValueError):  # none yet, or damaged: asked for again
        return {}
    return stored if isinstance(stored, dict) else {}


def _fingerprint(card: ModelCard) -> str:
    return hashlib.sha256(f"{card.licence}|{card.commercial_use}|{card.licence_note}".encode()).hexdigest()[:16]
