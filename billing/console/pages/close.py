"""The close of a month: what is closed, what is open and why, balances, tie-out, the proof."""

import csv
import io
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from dateutil.relativedelta import relativedelta
from sqlalchemy import Connection
from starlette.responses import Response

from billing.console import links, tables, words
from billing.console.requests import ConsolePage, PageRequest
from billing.console.tables import Cell, PageTable
from billing.errors import BadInput, BillingError, Conflict
from billing.flows.prove import PromiseResult, prove
from billing.flows.service.api_keys import Scope
from billing.flows.settlement import tie_out
from billing.presenters import findings
from billing.presenters import tie_out as told
from billing.queries import books, month, status
from billing.queries.month import Turnover
from billing.rules.money import Money, format_money
from billing.workers.runtime.database import engine_for_long_reads

_MONTH: Final = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")
_PROVING: Final = threading.Lock()
# Where one looks on, by what keeps a cycle open.
_WHERE: Final[Mapping[str, str]] = {
    "a break is open": links.listed("breaks"),
    "an attempt has no answer": links.listed("payments", unknown="yes"),
    "not paid yet": links.listed("failed"),
    "not collected, and its period is not over": links.listed("invoices", status="uncollectible"),
}


def _asked(request: PageRequest) -> tuple[datetime, datetime]:
    """Return when the month that was asked for begins and ends; the last whole one by default."""
    typed = request.query.get("month")
    if not typed:
        ends = request.now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return ends - relativedelta(months=1), ends
    found = _MONTH.fullmatch(typed)
    if found is None:
        raise BadInput("write it like 2026-01", where="month")
    begins = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
    return begins, begins + relativedelta(months=1)


def _close(request: PageRequest) -> Response:
    request.query.only("month", "ask")
    begins, ends = _asked(request)
    asked = request.query.get("ask") == "yes"
    with (
        engine_for_long_reads(request.console.runtime.settings) as engine,
        engine.connect() as conn,
    ):
        cycles = month.cycles(conn, begins, ends)
        waiting = books.why_open(conn, request.now, begins=begins, ends=ends)
        turnover = month.turnover(conn, begins, ends)
        tied, problem = _tie_out(conn, request) if asked else (_kept(conn), "")
    ready = waiting.pop("ready", 0)
    named = f"{begins:%Y-%m}"
    return request.page(
        "close.html",
        section="close",
        month=named,
        title=f"{begins:%B %Y}",
        over=request.now >= ends,
        cycles=cycles,
        ready=ready,
        open=cycles.cycles - cycles.closed,
        waiting=PageTable(
            ("cycles", "why"),
            [
                (Cell(f"{count:,}"), Cell(why, _WHERE.get(why, "")))
                for why, count in waiting.items()
            ],
            ("cycles",),
            "Nothing keeps a cycle of this month open.",
        ),
        turnover=_turnover(turnover),
        balanced=_sums(turnover),
        tied=tied,
        unexplained=[row for row in tied.rows if row[5].tone == "danger"],
        asked=asked,
        problem=problem,
        before=links.listed("close", month=f"{begins - relativedelta(months=1):%Y-%m}"),
        after=links.listed("close", month=f"{ends:%Y-%m}") if ends <= request.now else "",
        again=links.listed("close", month=named, ask="yes"),
        csv=links.listed("close.csv", month=named),
    )


def _turnover(rows: Sequence[Turnover]) -> PageTable:
    return PageTable(
        ("account", "currency", "before", "debit", "credit", "at the end"),
        [
            (
                Cell(words.plain(row.code)),
                Cell(row.currency),
                *(
                    tables.money(amount, row.currency)
                    for amount in (row.opening, row.debit, row.credit, row.closing)
                ),
            )
            for row in rows
        ],
        ("before", "debit", "credit", "at the end"),
        "Nothing was ever posted.",
    )


def _sums(rows: Sequence[Turnover]) -> list[tuple[str, bool]]:
    """Return each currency, and whether its balances add up to zero."""
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.currency] = sums.get(row.currency, 0) + row.closing
    return [(currency, total == 0) for currency, total in sums.items()]


# --- tie-out ------------------------------------------------------------------------------------

_TIED_NUMBERS: Final = ("our books", "the provider", "unexplained")
_TIED: Final = ("account", "as of", "our books", "the provider", "explained by", "unexplained")


def _kept(conn: Connection) -> PageTable:
    """Return what the last settlement run of each account found."""
    rows: list[Sequence[Cell]] = []
    for fence in status.all_fences(conn):
        found = month.tied_out(conn, fence.provider)
        if found is not None:
            rows += [_line(line, found.run.window_to) for line in found.lines]
    return PageTable(
        _TIED,
        rows,
        ("our books", "the provider", "unexplained"),
        "No settlement run has ended yet.",
    )


def _tie_out(conn: Connection, request: PageRequest) -> tuple[PageTable, str]:
    """Return the tie-out with the balances as the providers tell them now."""
    try:
        balances = request.console.runtime.gateways.balances()
    except BillingError as error:
        return _kept(conn), error.what
    found = tie_out.report(conn, now=request.now, balances=balances).tie_out or ()
    rows = [_line(line.to_json(), request.now) for line in found]
    return PageTable(_TIED, rows, _TIED_NUMBERS), ""


def _line(line: Mapping[str, Any], at: datetime) -> tuple[Cell, ...]:
    currency = str(line["currency"])
    why = [
        f"{told.in_words(reason)}: {format_money(Money(amount, currency))}"
        for reason, amount in line["reasons"].items()
    ]
    unexplained = int(line["unexplained"])
    return (
        Cell(str(line["account"])),
        tables.plain(at),
        tables.money(int(line["clearing"]), currency),
        tables.money(int(line["provider"]), currency),
        Cell("; ".join(why) or words.NOTHING),
        Cell(words.money(unexplained, currency), tone="danger" if unexplained else "success"),
    )


# --- CSV, and the proof -------------------------------------------------------------------------


def _csv(request: PageRequest) -> Response:
    request.query.only("month")
    begins, ends = _asked(request)
    with (
        engine_for_long_reads(request.console.runtime.settings) as engine,
        engine.connect() as conn,
    ):
        rows = month.turnover(conn, begins, ends)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(("month", "code", "currency", "opening", "debit", "credit", "closing"))
    for row in rows:
        writer.writerow(
            (f"{begins:%Y-%m}", row.code, row.currency, row.opening, row.debit, row.credit,
             row.closing)
        )  # fmt: skip
    name = f"close-{begins:%Y-%m}.csv"
    return Response(
        buffer.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def _prove(request: PageRequest) -> Response:
    """Check every promise from the rows, one proof at a time; large books take minutes."""
    request.query.only()
    if not _PROVING.acquire(blocking=False):
        raise Conflict("a proof is being made already: its page opens when it is done")
    try:
        with engine_for_long_reads(request.console.runtime.settings) as engine:
            results = prove(engine, request.now)
    finally:
        _PROVING.release()
    return request.page(
        "prove.html",
        section="close",
        holds=all(each.holds for each in results),
        differs=any(each.differences for each in results),
        promises=PageTable(
            ("promise", "what it says", "checked", "holds"),
            [_promise(each) for each in results],
        ),
        found=[
            (each.promise, findings.in_words(finding))
            for each in results
            for finding in (*each.findings, *each.differences)
        ],
    )


def _promise(result: PromiseResult) -> tuple[Cell, ...]:
    checked = ", ".join(f"{count:,} {what}" for what, count in result.checked.items())
    holds = Cell("holds", tone="success") if result.holds else Cell("broken", tone="danger")
    return (Cell(str(result.promise)), Cell(result.title), Cell(checked), holds)


PAGES: Final = (
    ConsolePage("GET", "/close", Scope.READ, _close),
    ConsolePage("GET", "/close.csv", Scope.READ, _csv),
    ConsolePage("GET", "/close/prove", Scope.READ, _prove),
)
