"""Runs a long native call beside the main thread so that a cancel is noticed within a fraction of a second."""

import threading
from collections.abc import Callable

from ..progress import Progress


def run_cancellable(
    call: Callable, progress: Progress, stage: str, done: int, total: int, cancel: Callable | None = None
):
    """``call()`` in a thread; meanwhile ``progress.advance(stage, done, total)`` every 0.2 s.

    When ``advance`` raises, ``cancel`` (if given) asks the call to stop and the exception goes on at once; the
    thread is a daemon, so that a native call without a way to stop does not hold up the end of the process.
    """
    outcome = {}

    def body():
        try:
            outcome["value"] = call()
        except BaseException as error:  # handed to the caller below
            outcome["error"] = error

    thread = threading.Thread(target=body, name=f"geo4d-{stage}", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.2)
            progress.advance(stage, done, total)
    except BaseException:
        if cancel is not None:
            cancel()
        raise
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]
