"""A folder of training examples, one file a procedural clip, made once and kept."""

import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from ...errors import OutputError
from ...progress import Progress

FIRST_SEED = 1001


def fill(folder: Path, clips: int, progress: Progress, seed: int = 0, workers: int = 1) -> int:
    """Make examples until the folder holds those of ``clips`` clips; returns how many were made now.

    Seeds follow from ``seed`` and are the files' names, so that a stopped run continues and two runs make the
    same files. Clips without parallax leave an empty marker.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    first = FIRST_SEED + 1_000_000 * seed
    wanted = [first + k for k in range(clips)]
    missing = [s for s in wanted if not (folder / f"{s:06d}.npz").exists() and not _marker(folder, s).exists()]
    started = time.monotonic()
    for done, _ in enumerate(_made(missing, folder, workers), start=1):
        progress.advance("examples", clips - len(missing) + done, clips)
        if done % 10 == 0:
            progress.log(f"{done} clips of examples in {time.monotonic() - started:.0f} s")
    return len(missing)


def _made(seeds: list[int], folder: Path, workers: int) -> Iterable[int]:
    if workers <= 1:
        for seed in seeds:
            yield make_one(seed, folder)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        for job in as_completed([pool.submit(make_one, seed, folder) for seed in seeds]):
            yield job.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def make_one(seed: int, folder: Path) -> int:
    """Examples of one seed into the folder; returns how many."""
    import cv2
    import torch

    from . import examples

    torch.set_num_threads(1)  # workers share the cores
    cv2.setNumThreads(1)
    found = examples.examples_of_seed(seed)
    try:
        if found:
            examples.save(folder / f"{seed:06d}.npz", found)
        else:
            _marker(folder, seed).touch()
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return len(found)


def _marker(folder: Path, seed: int) -> Path:
    return folder / f"{seed:06d}.none"


def _cannot_write(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        "cannot_write",
        f"Examples cannot be written to {folder}: {error}.",
        "Free some space and run the same command again: finished examples are kept.",
    )
