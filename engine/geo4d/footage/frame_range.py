"""The part of the footage that a shot uses."""

import numpy as np

from ..errors import FootageError


def choose(available: np.ndarray, first: int, last: int | None, step: int, name: str) -> np.ndarray:
    """Positions in ``available`` (N,), the sorted footage indices, that lie in ``first..last`` on the step.

    Both ends are included. Raises FootageError ``footage_range`` when the range leaves the footage or holds
    no frame.
    """
    end = int(available[-1])
    stop = end if last is None else last
    hint = f"Choose a range within 0 and {end}."
    if first < 0 or first > end:
        raise FootageError("footage_range", f"The range starts at frame {first}, {name} has frames 0 to {end}.", hint)
    if stop < 0 or stop > end:
        raise FootageError("footage_range", f"The range ends at frame {stop}, {name} has frames 0 to {end}.", hint)
    if stop < first:
        raise FootageError("footage_range", f"The range ends at frame {stop}, before its start at {first}.", hint)
    inside = (available >= first) & (available <= stop) & ((available - first) % step == 0)
    if not inside.any():
        raise FootageError("footage_range", f"{name} has no frame in the range {first} to {stop}.", hint)
    return np.flatnonzero(inside)
