"""Fetching a file from the Hugging Face hub: its client knows the address and who may have it.

The bytes themselves go through :func:`.download.fetch`, because the client begins anew after every interruption.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import BadRequest, GeoError, ModelMissing
from ..progress import Progress
from .download import fetch
from .registry import SourceFile

_PUBLIC = "https://huggingface.co"
_TIMEOUT_S = 30


def fetch_from_hub(source: SourceFile, folder: Path, progress: Progress) -> Path:
    """``source`` in ``folder``; a part of an earlier attempt is continued.

    Raises ModelMissing where the client is not installed, BadRequest where the owner has to be asked first or the
    content is not what was expected, GeoError where it cannot be reached.
    """
    try:
        from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url
        from huggingface_hub.utils import build_hf_headers
    except ImportError as error:
        raise ModelMissing(
            "package_missing", f"The package {error.name} is not installed.", 'Run: pip install "geo4d[gpu]"'
        ) from error
    hub, endpoint = source.hub, os.environ.get("HF_ENDPOINT", _PUBLIC).rstrip("/")
    page = f"{endpoint}/{hub.repository}"
    address = hf_hub_url(hub.repository, hub.path, revision=hub.revision, endpoint=endpoint)
    try:
        found = get_hf_file_metadata(address, timeout=_TIMEOUT_S, endpoint=endpoint)
    except errors.GatedRepoError as error:
        raise BadRequest(
            "download_gated",
            f"The owner of {hub.repository} wants to be asked before {source.name} is fetched.",
            f"Agree to the terms at {page}, then log in on this machine with: hf auth login",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise GeoError(
            "download_failed",
            f"{page} has no {hub.path} at {hub.revision[:12]}, or shows it to members alone.",
            "If it is private, log in with: hf auth login",
        ) from error
    except Exception as error:  # of the client's HTTP library, which differs between its versions
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GeoError(
            "download_failed", f"{page} cannot be reached ({reason}).", "Check the connection and run it again."
        ) from error
    if source.bytes_exact is not None and found.size not in (None, source.bytes_exact):
        raise BadRequest(
            "download_changed",
            f"{hub.path} of {page} has {found.size} bytes, not the {source.bytes_exact} that were expected.",
            "The release has changed; look for a newer version of Geo4D.",
        )
    # The bytes often lie at another host, which must not see the user's token.
    ours = urlsplit(found.location).netloc == urlsplit(endpoint).netloc
    headers = build_hf_headers() if ours else {}
    return fetch(found.location, folder / source.name, source.sha256, progress, headers)
