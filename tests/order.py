"""In which order tests run: slow ones first, so that no process works alone at the end."""

from collections.abc import Sequence

import pytest


def slow_first(items: Sequence[pytest.Item], processes: int) -> list[pytest.Item]:
    """Return the tests so that each process begins with its share of the slow ones.

    pytest-xdist gives each process as many tests as the others, one stretch of the list, and lets
    a process that is done take from the end of another's. Tests of a file stay together: they
    may share what takes long to make.
    """
    files = dict.fromkeys(each.path for each in items if each.get_closest_marker("slow"))
    beginnings: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for number, file in enumerate(files):
        beginnings[number % processes] += [each for each in items if each.path == file]
    others = iter([each for each in items if each.path not in files])
    ordered: list[pytest.Item] = []
    for place, beginning in enumerate(beginnings):
        share = (len(items) - len(ordered)) // (processes - place)
        ordered += beginning
        ordered += [each for _, each in zip(range(share - len(beginning)), others, strict=False)]
    return [*ordered, *others]
