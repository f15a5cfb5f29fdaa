"""Pauses between tries double and are bounded."""

from datetime import timedelta

import pytest

from billing.rules import backoff


@pytest.mark.parametrize(
    ("tries", "seconds"), [(0, 2), (1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (7, 60), (9_999, 60)]
)
def test_a_pause_doubles_with_every_try_up_to_the_longest(tries: int, seconds: int) -> None:
    paused = backoff.pause(tries, first=timedelta(seconds=2), longest=timedelta(minutes=1))
    assert paused == timedelta(seconds=seconds)
