"""Taking a file of events in, batch by batch. What was counted before isn't counted again."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import Engine

from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import ingest
from billing.rules.usage import BATCH_MAX

LISTED_MAX: Final = 1_000
"""How many rows that weren't counted are listed; all of them are in the numbers."""

Numbered = tuple[int, Any]
"""A row, with the number of its line."""


@dataclass(frozen=True, slots=True)
class NotCounted:
    """A row that wasn't counted: the number of its line, its id as it was given, and why."""

    line: int
    id: str | None
    reason: str


@dataclass(slots=True)
class Imported:
    """What became of the rows of a file so far. `reasons` are those of refused ones."""

    rows: int = 0
    accepted: int = 0
    late: int = 0
    repeated: int = 0
    conflicting: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    not_counted: list[NotCounted] = field(default_factory=list)


def import_rows(
    engine: Engine,
    book: UsageBook,
    rows: Iterable[Numbered],
    now: datetime,
    *,
    dry_run: bool = False,
) -> Iterator[Imported]:
    """Count the events of a file; yield the same report after each batch. Raises: Unavailable."""
    report, waiting = Imported(), iter(rows)
    while batch := list(islice(waiting, BATCH_MAX)):
        _import(engine, book, batch, now, report, dry_run=dry_run)
        yield report


def _import(
    engine: Engine,
    book: UsageBook,
    batch: Sequence[Numbered],
    now: datetime,
    report: Imported,
    *,
    dry_run: bool,
) -> None:
    answer = ingest(engine, book, [row for _, row in batch], now, dry_run=dry_run)
    report.rows += len(batch)
    report.accepted += answer.accepted
    report.late += answer.late
    report.repeated += len(answer.repeated)
    report.conflicting += len(answer.conflicting)
    report.refused += len(answer.refused)
    reasons = dict.fromkeys(answer.conflicting, "conflicting")
    reasons |= {each.index: str(each.reason) for each in answer.refused}
    report.reasons.update(str(each.reason) for each in answer.refused)
    for place in sorted(reasons)[: max(0, LISTED_MAX - len(report.not_counted))]:
        line, row = batch[place]
        given = row.get("id") if isinstance(row, dict) else None
        named = given if isinstance(given, str) else None
        report.not_counted.append(NotCounted(line, named, reasons[place]))
