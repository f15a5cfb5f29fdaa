"""One table of a catalog file: reads typed values and notes what is wrong with them, with places.

Every reader returns the value, or None when it is absent or bad; a bad one has been noted.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any, Final

from billing.pan import contains_card_number, without_card_numbers
from billing.plans.errors import BadValue, CatalogProblem
from billing.plans.lines import Path
from billing.plans.terms import Cadence
from billing.plans.usual_names import meant

_LONGEST_DAYS_OF: Final = {"day": 1, "week": 7, "month": 31, "year": 366}
_CONTROL: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Table:
    """A TOML table with its place in the file, and the list its problems go to."""

    def __init__(
        self,
        file: str,
        data: Mapping[str, Any],
        lines: Mapping[Path, int],
        path: Path,
        problems: list[CatalogProblem],
    ) -> None:
        self.data = data
        self._file = file
        self._lines = lines
        self._path = path
        self._problems = problems

    def has(self, key: str) -> bool:
        """Say whether the key is there at all, good or bad."""
        return key in self.data

    def place(self, key: str) -> str:
        """Return "file:line" of a key, or of the table where the key is absent."""
        return f"{self._file}:{self._line((*self._path, key))}"

    def problem(self, key: str, what: str, remedy: str) -> None:
        """Note a problem of a key."""
        self._note((*self._path, key), what, remedy)

    def refuse_unknown(self, known: Sequence[str]) -> None:
        """Note every unknown key; a misspelt key must not be ignored."""
        for key in self.data:
            if key not in known:
                near = meant(key, known)
                remedy = f"did you mean {near!r}?" if near else f"known are: {', '.join(known)}"
                self.problem(key, "is no known key", remedy)

    def refuse_card_numbers(self) -> bool:
        """Note every text in the table, at any depth, that looks like a card number.

        Where there is one, read no further: what else is wrong would be told by quoting.
        """
        found = [path for path, text in _texts(self.data, self._path) if contains_card_number(text)]
        for path in found:
            self._note(path, "looks like a card number", "card numbers belong nowhere here")
        return bool(found)

    def refuse_controls(self) -> None:
        """Note every text at any depth with a character that no terminal should be sent."""
        for path, text in _texts(self.data, self._path):
            if _CONTROL.search(text):
                shown = tuple(ascii(part)[1:-1] if type(part) is str else part for part in path)
                remedy = "write one line of plain text"
                self._note(path, "has a control character", remedy, shown)

    def text(self, key: str, *, required: bool = True) -> str | None:
        """Read a text that isn't blank."""
        value = self._value(key, required)
        if value is None:
            return None
        if type(value) is not str:
            self._wrong_type(key, value, 'a text in quotes, like "1 month"')
            return None
        if not value.strip():
            self.problem(key, "is empty", "write a text, or leave the key out")
            return None
        return value

    def choice(self, key: str, options: Sequence[str], *, required: bool = False) -> str | None:
        """Read one of a few words."""
        value = self.text(key, required=required)
        if value is None or value in options:
            return value
        near = get_close_matches(value, options, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = " or ".join(repr(option) for option in options)
        self.problem(key, f"{value!r} is not possible here", f"{hint}write {known}")
        return None

    def integer(self, key: str, low: int, high: int) -> int | None:
        """Read an integer between two bounds."""
        value = self._value(key, required=False)
        if value is None:
            return None
        if type(value) is not int:
            self._wrong_type(key, value, f"a number from {low} to {high}")
            return None
        if not low <= value <= high:
            self.problem(key, f"{value} is out of range", f"write a number from {low} to {high}")
            return None
        return value

    def flag(self, key: str) -> bool:
        """Read whether something holds; it doesn't where the key is left out."""
        value = self._value(key, required=False)
        if value is None or type(value) is bool:
            return bool(value)
        self._wrong_type(key, value, "true or false, without quotes")
        return False

    def day(self, key: str) -> date | None:
        """Read a civil date: neither a text nor a time of day."""
        value = self._value(key, required=True)
        if value is None:
            return None
        if isinstance(value, datetime):
            what = "is a date with a time of day"
            self.problem(key, what, f"write the date alone: {value.date()}")
            return None
        if not isinstance(value, date):
            self._wrong_type(key, value, "a date without quotes, like 2026-01-31")
            return None
        return value

    def cadence(self, key: str, longest: Cadence) -> Cadence | None:
        """Read a cadence of a sensible length."""
        text = self.text(key, required=False)
        return None if text is None else self._cadence((*self._path, key), text, longest)

    def cadences(self, key: str, longest: Cadence, most: int) -> tuple[Cadence, ...] | None:
        """Read a list of cadences."""
        values = self._value(key, required=False)
        if values is None:
            return None
        if not isinstance(values, list) or any(type(value) is not str for value in values):
            self._wrong_type(key, values, 'a list of texts, like ["3d", "5d", "7d"]')
            return None
        if len(values) > most:
            self.problem(key, f"has {len(values)} steps", f"write at most {most}")
            return None
        read = [
            self._cadence((*self._path, key, i), value, longest) for i, value in enumerate(values)
        ]
        good = tuple(cadence for cadence in read if cadence is not None)
        return good if len(good) == len(read) else None

    def texts(self, key: str, example: str) -> tuple[str, ...] | None:
        """Read a list of texts, one at least, none of them twice."""
        values = self._value(key, required=True, remedy=f"add a line: {key} = {example}")
        if values is None:
            return None
        if not isinstance(values, list) or any(type(value) is not str for value in values):
            self._wrong_type(key, values, f"a list of texts, like {example}")
            return None
        if not values:
            self.problem(key, "is empty", f"write one entry at least, like {example}")
            return None
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            self.problem(key, f"has {twice!r} twice", "write it once")
            return None
        return tuple(values)

    def table(self, key: str, example: str) -> "Table | None":
        """Read a table within this one."""
        value = self._value(key, required=True, remedy=f"add a line: {key} = {example}")
        if value is None:
            return None
        if not isinstance(value, dict):
            self._wrong_type(key, value, f"a table, like {example}")
            return None
        if not value:
            self.problem(key, "is empty", f"write one entry at least, like {example}")
            return None
        return self._inner(value, (*self._path, key))

    def tables(self, key: str, header: str) -> "list[Table]":
        """Read an array of tables, one at least."""
        values = self._value(key, required=True, remedy=f"add a {header} section")
        if values is None:
            return []
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            self.problem(key, "is not a list of sections", f"begin each one with {header}")
            return []
        if not values:
            self.problem(key, "is empty", f"add a {header} section")
        return [self._inner(value, (*self._path, key, i)) for i, value in enumerate(values)]

    def within(self, *keys: str | int) -> "Table":
        """Return the table at a path that is known to lead to one."""
        data: Any = self.data
        for key in keys:
            data = data[key]
        return self._inner(data, (*self._path, *keys))

    def _inner(self, data: Mapping[str, Any], path: Path) -> "Table":
        return Table(self._file, data, self._lines, path, self._problems)

    def _value(self, key: str, required: bool, remedy: str | None = None) -> Any:
        if key not in self.data and required:
            self.problem(key, "is missing", remedy or f"add a line: {key} = ...")
        return self.data.get(key)

    def _wrong_type(self, key: str, value: object, wanted: str) -> None:
        self.problem(key, f"{_shown(value)} is {type_name(value)}", f"write {wanted}")

    def _cadence(self, path: Path, text: str, longest: Cadence) -> Cadence | None:
        try:
            cadence = Cadence.parse(text)
        except BadValue as error:
            self._note(path, error.what, error.remedy)
            return None
        if _days_at_most(cadence) > _days_at_most(longest):
            what = f"{text!r} is longer than is sensible"
            self._note(path, what, f"write at most {str(longest)!r}")
            return None
        return cadence

    def _note(self, path: Path, what: str, remedy: str, shown: Path | None = None) -> None:
        parts = [part for part in shown or path if isinstance(part, str)]
        key = ".".join(map(without_card_numbers, parts))
        self._problems.append(CatalogProblem(self._file, self._line(path), key, what, remedy))

    def _line(self, path: Path) -> int:
        """Return the line of a path, or of the nearest thing around it that has one."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


def _days_at_most(cadence: Cadence) -> int:
    return cadence.count * _LONGEST_DAYS_OF[cadence.unit]


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def type_name(value: object) -> str:
    """Return what a value is, as people call it."""
    names = {
        bool: "true or false", int: "a number", float: "a number", str: "a text",
        list: "a list", dict: "a table", datetime: "a date with a time", date: "a date",
    }  # fmt: skip
    return names.get(type(value), "of another type")


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield every text below a value, keys as well, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield path, str(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), key
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))
