"""The first steps of a run over a settlement report: its rows, into `settlement_rows`.

The provider's kind reads the file's columns and words (`gateway.reports`). Rows stream through COPY
into a temporary table and from there into `settlement_rows`, all in one transaction: a file that
has a malformed row anywhere leaves nothing behind.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.errors import ErrorCode
from billing.flows.settlement.matching import changed_rows
from billing.flows.settlement.step_run import StepRun
from billing.gateway.objects import ProviderPayout, Unreadable
from billing.gateway.reports import MalformedReport, ReportedMovement, ReportFile
from billing.rules.reconciliation import RunSource
from billing.store.engine import driver_connection
from billing.store.settlement import breaks, payouts, runs, staging
from billing.store.settlement.runs import SettlementRun
from billing.store.transactions import allow_memory, allow_time

CHUNK_ROWS: Final = 1_000
_HASH_BYTES: Final = 1 << 20
_NOTHING: Final = "\\N"

# Follows the digest in a run's reference: the importer declares the report complete.
_COMPLETE: Final = ":complete"


def begin(
    engine: Engine, provider: str, report: ReportFile, *, now: datetime, complete: bool
) -> UUID:
    """Begin the import of an account's report, or return the run that this very file has already.

    A file is known by the SHA-256 of its content. `complete`: the report has everything of its span
    of time, so captures that it lacks are breaks. Raises `MalformedReport` for a file that is no
    report, before anything is written.
    """
    digest = _digest(report.path)
    report.reader.check(report.path)
    with marked(CrashPoint.REPORT_BEGUN), engine.begin() as conn:
        return runs.start(
            conn,
            provider=provider,
            source=RunSource.REPORT,
            reference=digest + _COMPLETE if complete else digest,
            window_from=now - timedelta(seconds=1),
            window_to=now,
            now=now,
            facts={"file": report.path.name, "complete": complete},
        )


def _digest(path: Path) -> str:
    hashed = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_HASH_BYTES):
                hashed.update(part)
    except OSError as error:
        raise MalformedReport(
            f"the report can't be read: {error.strerror}",
            where=str(path),
            code=ErrorCode.REPORT_UNREADABLE,
        ) from error
    return hashed.hexdigest()


@dataclass(slots=True)
class Aside:
    """What a report has beside its movements: payouts, and rows that can't be read."""

    payouts: list[ProviderPayout] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


def put_payouts(
    conn: Connection, provider: str, now: datetime, found: Sequence[ProviderPayout]
) -> int:
    """Record payouts as a report shows them, which may be older than what is known."""
    latest = {each.id: each for each in found}
    columns = payouts.columns_of(
        (each.id, each.amount, each.status, each.created, each.arrival) for each in latest.values()
    )
    return payouts.put_reported(conn, provider, now, columns)


# --- the steps ----------------------------------------------------------------------------------


def fetch(step: StepRun) -> None:
    """Check that the file is the one this run was begun with."""
    path = _report(step).path
    if _digest(path) != step.run.reference.removesuffix(_COMPLETE):
        raise MalformedReport(
            "the file is not the one that this run was begun with",
            where=str(path),
            code=ErrorCode.REPORT_CHANGED,
        )


def stage(step: StepRun) -> None:
    """Import the whole file in one transaction; a second time changes nothing."""
    report = _report(step)
    with step.batch() as conn:
        allow_time(conn)
        allow_memory(conn)
        staging.make_staging(conn)
        rows, aside = 0, Aside()
        with (
            driver_connection(conn).cursor() as cursor,
            cursor.copy(staging.copy_into_staging()) as copy,
        ):
            for chunk, count in _chunks(report, step.run, aside):
                copy.write(chunk)
                rows += count
        staging.analyze_staging(conn)
        span = staging.staged_span(conn)
        merged = staging.merge_staging(conn)
        _check_customers_money(conn, report)
        breaks.record_all(conn, changed_rows(merged.changed, step.run), now=step.now)
        step.record_unreadable(conn, aside.unreadable)
        if aside.payouts:
            changed = put_payouts(conn, step.provider, step.now, aside.payouts)
            step.counts["payouts_changed"] += changed
        if span is not None:
            first, last = span
            runs.set_window(conn, step.run.id, first, last + timedelta(seconds=1))
        step.counts["read"], step.counts["new"] = rows, merged.new


def _check_customers_money(conn: Connection, report: ReportFile) -> None:
    """Check that payments in another currency than the balance's can be compared at all."""
    lacks = report.reader.lacks_customers_money(report.path)
    found = staging.without_customers_money(conn) if lacks else None
    if found is not None:
        raise MalformedReport(
            f"the report is in {found.currency} and doesn't say what was paid in {found.paid_in}:"
            f" {found.n} row(s) can't be compared",
            where=f"{report.path}:1",
            code=ErrorCode.REPORT_COLUMN_NEEDED,
            columns=" and ".join(lacks),
        )


def _report(step: StepRun) -> ReportFile:
    assert step.report is not None, "only who has the file reads it"
    return step.report


def _chunks(report: ReportFile, run: SettlementRun, aside: Aside) -> Iterator[tuple[str, int]]:
    """Yield COPY text of `CHUNK_ROWS` rows each, and how many rows it is; the rest goes aside."""
    run_id = str(run.id)
    movements = _readable(report.reader.movements(report.path, report.zone), aside)
    lines = (_line(each, run.provider, run_id) for each in movements)
    while chunk := list(islice(lines, CHUNK_ROWS)):
        yield "".join(chunk), len(chunk)


def _readable(
    movements: Iterator[ReportedMovement | ProviderPayout | Unreadable], aside: Aside
) -> Iterator[ReportedMovement]:
    for each in movements:
        if isinstance(each, Unreadable):
            aside.unreadable.append(each)
        elif isinstance(each, ProviderPayout):
            aside.payouts.append(each)
        else:
            yield each


def _line(movement: ReportedMovement, provider: str, run_id: str) -> str:
    """Write a row as a line of COPY, in the order of `staging.copy_into_staging`."""
    id_, *values = movement
    return (
        "\t".join([provider, id_, run_id, *[_NOTHING if v is None else v for v in values]]) + "\n"
    )
