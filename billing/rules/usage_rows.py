"""Rows of usage as text: JSON, JSON lines, tables. Numbers stay as they are written."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from billing.rules.usage import MEMBERS, UsageNumber

NO_ROW: Final = object()
"""What a text is that can't be read, or that two readers may read differently."""


def read_json(text: str) -> Any:
    """Return what a text says; `NO_ROW` for what is no JSON, or has a name twice in an object."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return NO_ROW


def read_lines(text: str) -> Iterator[Any]:
    """Yield what each line says, but of empty ones."""
    for line in text.split("\n"):
        if line.strip():
            yield read_json(line)


def _each_name_once(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    return found if len(found) == len(pairs) else NO_ROW


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_each_name_once,
    parse_float=UsageNumber,
    parse_int=UsageNumber,
    parse_constant=UsageNumber,
)


def read_table(lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a table with a line of names, each with the number of its last line.

    Columns that aren't members of an event are properties; an empty cell is none. Raises:
    ValueError for a table that has a name twice.
    """
    reader = csv.reader(lines, strict=True)
    names = next(reader, [])
    if len(set(names)) != len(names):
        raise ValueError("a column comes twice")
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield reader.line_num, NO_ROW
            continue
        if cells:
            yield reader.line_num, _row_of(names, cells)


def _row_of(names: Sequence[str], cells: Sequence[str]) -> Any:
    if len(cells) != len(names):
        return NO_ROW
    given = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
    row: dict[str, Any] = {name: cell for name, cell in given.items() if name in MEMBERS}
    row["properties"] = {name: cell for name, cell in given.items() if name not in MEMBERS}
    return row
