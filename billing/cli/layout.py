"""Which columns of a table fit into a terminal, and ids cut to what tells them apart."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHORTEST_ID: Final = 8  # what every command takes for an id, if it is the beginning of one alone
_GAP: Final = 2
_WRAPPED: Final = 32  # a longer text is wrapped


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that fit, the cells of each row under them, and the columns that don't."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: Sequence[str]


def fitted(columns: Sequence[str], rows: Sequence[Mapping[str, str]], width: int | None) -> Layout:
    """Return a table for a terminal of this width; None is a reader that takes all of it.

    The first columns are kept, as they say what a row is about. A column is never narrower than its
    heading.
    """
    if width is None:
        return Layout(columns, [[row[name] for name in columns] for row in rows], ())
    cells = {name: _short([row[name] for row in rows]) for name in columns}
    kept: list[str] = []
    used = 0
    for name in columns:
        longest = max([0, *map(len, cells[name])])
        needed = max(len(name), min(longest, _WRAPPED)) + (_GAP if kept else 0)
        if kept and used + needed > width:
            break
        kept.append(name)
        used += needed
    shown = [[cells[name][index] for name in kept] for index in range(len(rows))]
    return Layout(kept, shown, columns[len(kept) :])


def _short(values: Sequence[str]) -> list[str]:
    """Return ids as the shortest beginnings that tell them apart; other texts as they are."""
    ids = {value for value in values if _UUID.fullmatch(value)}
    if not ids or any(value not in ids and value != "-" for value in values):
        return list(values)
    length = _SHORTEST_ID
    while len({value[:length] for value in ids}) < len(ids):
        length += 1
    return [value[:length].rstrip("-") if value in ids else value for value in values]
