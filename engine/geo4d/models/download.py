"""Fetching a file over HTTP: continued where it stopped, checked, and in place only when whole."""

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from ..errors import BadRequest, GeoError
from ..progress import Progress, Silent
from ..scene.workspace import output_errors

_CHUNK = 1 << 20
_TIMEOUT_S = 60
_PARTIAL_CONTENT, _RANGE_REFUSED = 206, 416


def fetch(
    url: str,
    target: str | Path,
    sha256: str | None = None,
    progress: Progress | None = None,
    headers: dict[str, str] | None = None,
) -> Path:
    """Download ``url`` to ``target``; returns it. ``headers`` go with the request.

    A part of an earlier attempt beside the target is continued where the server can. Raises GeoError where the server
    cannot be reached or ends early (the part is kept), BadRequest where the content is not what ``sha256`` says
    (the part is dropped).
    """
    target, progress = Path(target), progress or Silent()
    partial = target.with_name(target.name + ".part")
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        have = partial.stat().st_size if partial.exists() else 0
    try:
        total = _transfer(url, partial, have, progress, headers or {})
    except urllib.error.HTTPError as error:
        if error.code == _RANGE_REFUSED and have:  # the part is longer than the file, or the file has changed
            partial.unlink()
            return fetch(url, target, sha256, progress, headers)
        raise GeoError(
            "download_failed", f"The server answers {error.code} ({error.reason}) for {url}.", "Check the address."
        ) from error
    except (urllib.error.URLError, ConnectionError, TimeoutError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise GeoError(
            "download_failed", f"{url} cannot be fetched ({reason}).", "Check the connection and run it again."
        ) from error
    size = partial.stat().st_size
    if total is not None and size != total:
        raise GeoError(
            "download_incomplete", f"{url} ended after {size} of {total} bytes.", "Run it again to continue."
        )
    if sha256 is not None:
        with open(partial, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            partial.unlink()
            raise BadRequest(
                "download_changed",
                f"{url} is not the file that was expected (sha256 {found[:12]}..., not {sha256[:12]}...).",
                "Check the address.",
            )
    with output_errors(target):
        os.replace(partial, target)
    return target


def _transfer(url: str, partial: Path, have: int, progress: Progress, headers: dict[str, str]) -> int | None:
    """Append what is missing to ``partial``; the length of the whole file where the server tells it."""
    request = urllib.request.Request(url, headers={**headers, **({"Range": f"bytes={have}-"} if have else {})})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        if have and answer.status != _PARTIAL_CONTENT:
            have = 0  # the server sends everything again
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        with output_errors(partial), open(partial, "ab" if have else "wb") as file:
            while chunk := _next_chunk(answer):
                file.write(chunk)
                have += len(chunk)
                progress.advance("download", have, total or have)
    return total


def _next_chunk(answer) -> bytes:
    import http.client

    try:
        return answer.read(_CHUNK)
    except http.client.IncompleteRead as error:  # the server hung up; keep what came
        return error.partial
