"""A folder of files made from seeds, one a seed, made once and kept: a stopped run continues, two runs agree."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from ..errors import OutputError
from ..progress import Progress

FIRST_SEED = 1001

# ``make(path, seed)`` writes the file of a seed at once and whole, or returns False where that seed yields none.
# A function of a module, so that other processes find it.
Make = Callable[[Path, int], bool]


def fill(folder: Path, count: int, make: Make, progress: Progress, seed: int = 0, workers: int = 1) -> int:
    """Make files until the folder holds those of ``count`` seeds; returns how many were made now.

    Seeds follow from ``seed`` and are the files' names; a seed that yields none leaves an empty marker.
    Raises OutputError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    first = FIRST_SEED + 1_000_000 * seed
    wanted = [first + k for k in range(count)]
    missing = [s for s in wanted if not path_of(folder, s).exists() and not _marker(folder, s).exists()]
    started = time.monotonic()
    for done, _ in enumerate(_made(missing, folder, make, workers), start=1):
        progress.advance("examples", count - len(missing) + done, count)
        if done % 10 == 0:
            progress.log(f"{done} clips of examples in {time.monotonic() - started:.0f} s")
    return len(missing)


def path_of(folder: Path, seed: int) -> Path:
    return folder / f"{seed:06d}.npz"


def stored(folder: Path) -> list[Path]:
    """Every finished file, in the order of their seeds."""
    return sorted(Path(folder).glob("[0-9]*.npz"))


def make_one(folder: Path, seed: int, make: Make) -> None:
    """The file of one seed. Raises OutputError."""
    import cv2
    import torch

    torch.set_num_threads(1)  # workers share the cores
    cv2.setNumThreads(1)
    try:
        if not make(path_of(folder, seed), seed):
            _marker(folder, seed).touch()
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _made(seeds: list[int], folder: Path, make: Make, workers: int) -> Iterable[None]:
    if workers <= 1:
        for seed in seeds:
            yield make_one(folder, seed, make)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        for job in as_completed([pool.submit(make_one, folder, seed, make) for seed in seeds]):
            yield job.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _marker(folder: Path, seed: int) -> Path:
    return folder / f"{seed:06d}.none"


def _cannot_write(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        "cannot_write",
        f"Examples cannot be written to {folder}: {error}.",
        "Free some space and run the same command again: finished examples are kept.",
    )
