"""Data on stdout, as a table, as JSON or as JSON lines; talk on stderr.

Field names are the same everywhere and stay. In JSON an amount is an integer of minor units
beside its `currency`, an instant is ISO 8601 in UTC; only tables write "9.99 USD".
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, ParamSpec, TypeVar
from uuid import UUID

import click

from billing.cli.layout import fitted
from billing.cli.tables import TextTable, aligned, wrapped
from billing.rules.texts import escaped_in_json, one_line, visible

Format = Literal["table", "json", "jsonl"]
Record = Mapping[str, Any]
Columns = Sequence[str]

_MINOR_UNITS: Final = frozenset(
    {
        "amount",
        "amount_captured",
        "amount_refunded",
        "unit_amount",
        "capture_amount",
        "recognised",
        "deferred",
        "lost_recognised",
        "lost_deferred",
        "lost_tax",
        "gross",
        "discount",
        "given_back",
        "left",
        "net",
        "tax",
        "total",
        "debit",
        "credit",
        "balance",
        "before",
        "after",
        "price",
        "provider",
        "clearing",
        "unexplained",
        "left_after",
        "usable",
        "due",
    }
)
_NUMBERS: Final = frozenset({"n", "quantity", "count", "subscriptions"})
_WIDE_ASKED: Final = "billing.cli.output.wide"
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Output:
    """Writes the data of one command in the format that was asked for."""

    def __init__(self, format: Format) -> None:
        self.format = format

    def records(self, records: Sequence[Record], columns: Columns, *, title: str = "") -> None:
        """Write a list: an array, an object a line, or a table of these columns."""
        if self.format == "json":
            _echo(to_json(list(records), indent=2))
        elif self.format == "jsonl":
            for record in records:
                _echo(to_json(record))
        else:
            draw(_table(records, columns, title))

    def record(self, record: Record, nested: Mapping[str, Columns] | None = None) -> None:
        """Write one object; in a table, the lists named in `nested` follow as tables."""
        if self.format != "table":
            _echo(to_json(record, indent=2 if self.format == "json" else None))
            return
        nested = nested or {}
        draw(_sheet({key: record[key] for key in record if key not in nested}))
        for key, columns in nested.items():
            if record[key]:
                _echo("")
                draw(_table(record[key], columns, key.replace("_", " ")))

    def message(self, record: Record, words: str) -> None:
        """Write what was done: an object, or one sentence."""
        if self.format == "table":
            _echo(words)
        else:
            self.record(record)


def output_option(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a command `-o`, of which it is handed an `Output` named `output`, and `--wide`."""
    function = click.option(
        "--wide",
        is_flag=True,
        expose_value=False,
        callback=_note_wide,
        help="Show every column and whole ids, also where the terminal is narrower.",
    )(function)
    return click.option(
        "-o",
        "--output",
        "output",
        type=click.Choice(["table", "json", "jsonl"]),
        default="table",
        show_default=True,
        callback=lambda _ctx, _param, value: Output(value),
        help="How data is written to stdout.",
    )(function)


def _note_wide(ctx: click.Context, _param: click.Parameter, wide: bool) -> None:
    ctx.meta[_WIDE_ASKED] = wide


def _width() -> int | None:
    """Return how wide a table may be; None where it may have any width."""
    context = click.get_current_context(silent=True)
    if not stdout_is_terminal() or (context is not None and context.meta.get(_WIDE_ASKED)):
        return None
    return shutil.get_terminal_size().columns


def say(line: str) -> None:
    """Write a line of data to stdout."""
    _echo(line)


def talk(words: str) -> None:
    """Say something to the person, on stderr."""
    click.echo(visible(words), err=True)


def to_json(value: object, indent: int | None = None) -> str:
    """Write a value as JSON in the documented way."""
    separators = None if indent else (",", ":")
    return escaped_in_json(
        json.dumps(value, default=_plain, indent=indent, ensure_ascii=False, separators=separators)
    )


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def iso(instant: datetime) -> str:
    """Write an instant as 2026-01-31T00:00:00Z; civil times, which have no zone, without the Z."""
    if instant.tzinfo is None:
        return instant.isoformat()
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def cell(record: Record, key: str) -> str:
    """Write one field for a person, in one line and without characters that steer a terminal."""
    return one_line(_cell(record, key))


def _cell(record: Record, key: str) -> str:
    value = record.get(key)
    if value is None or value == [] or value == "":
        return "-"
    if key in _MINOR_UNITS and isinstance(value, int) and record.get("currency"):
        from billing.rules.money import Money, format_money

        return format_money(Money(value, record["currency"]))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        zone = "" if value.tzinfo is None else "Z"
        seconds = ":%S" if value.second else ""
        return value.strftime(f"%Y-%m-%d %H:%M{seconds}") + zone
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {cell(value, name)}" for name in value)
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return str(value)


def _echo(line: str) -> None:
    click.echo(visible(line))


def _table(records: Sequence[Record], columns: Columns, title: str = "") -> TextTable:
    layout = fitted(
        columns, [{name: cell(record, name) for name in columns} for record in records], _width()
    )
    if layout.left_out:
        names = ", ".join(name.replace("_", " ") for name in layout.left_out)
        talk(f"not shown: {names}; --wide shows all, -o json whole rows")
    shown = list(enumerate(layout.columns))
    return TextTable(
        layout.rows,
        [column.replace("_", " ").upper() for column in layout.columns],
        title,
        right=[index for index, column in shown if column in _MINOR_UNITS | _NUMBERS],
        whole=[index for index, column in shown if column == "id"],
    )


def _sheet(record: Record) -> TextTable:
    """Return one object as a table of two columns, its name and its value."""
    return TextTable([(key.replace("_", " "), cell(record, key)) for key in record], whole=(0,))


def draw(table: TextTable) -> None:
    """Write a table to stdout: as wide as the terminal, or plain and never cut."""
    width = _width()
    if width is not None and table.width > width:
        from rich.console import Console

        Console(highlight=False, width=width).print(wrapped(table))
        return
    for line in aligned(table, _bold if _has_styles() else str):
        click.echo(line)


def _bold(text: str) -> str:
    return click.style(text, bold=True)


def _has_styles() -> bool:
    return stdout_is_terminal() and os.environ.get("TERM") not in ("dumb", "unknown")


def stdout_is_terminal() -> bool:
    """Say whether a person looks at stdout."""
    return sys.stdout.isatty()
