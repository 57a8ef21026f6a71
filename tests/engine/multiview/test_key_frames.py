"""Key frames at a fixed pace."""

import numpy as np
from geo4d.multiview.key_frames import KeyFrames


def asked_of(times, spacing, span, have=None):
    asked = []

    def prepare(j):
        asked.append(j)
        return j if have is None or j in have else None

    return KeyFrames(times, spacing, span, prepare), asked


def test_pace_and_span():
    keys, asked = asked_of(np.arange(100) / 25, spacing=0.2, span=1.0)
    assert keys.around(50) == [25, 30, 35, 40, 45, 55, 60, 65, 70, 75]
    assert keys.around(52) == [30, 35, 40, 45, 55, 60, 65, 70, 75], "one right beside it has its errors"
    assert len(asked) == len(set(asked)) == 10, "each is prepared once"


def test_those_without_anything_are_left_out_and_the_past_is_forgotten():
    keys, _ = asked_of(np.arange(100) / 10, spacing=0.5, span=1.0, have=(5, 10, 20))
    assert keys.around(12) == [5, 20], "10 is too near, 15 has nothing"
    keys.around(60)
    assert not keys.kept


def test_one_frame_or_no_time_between_frames():
    for times in (np.zeros(1), np.zeros(5)):
        keys, _ = asked_of(times, 0.2, 1.0)
        assert keys.around(0) == []
