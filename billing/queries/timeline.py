"""Everything that happened to a subscription, merged into one order."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row

from billing.queries import overview
from billing.rules.money import Money

COLUMNS: Final = ("at", "kind", "what", "actor")

# What comes first where several things carry one instant, as they do under a test clock.
_ORDER: Final = (
    "subscribed",
    "cycle_opened",
    "invoice_issued",
    "attempt_sent",
    "attempt_finished",
    "payment_moved",
    "refund_requested",
    "refund_finished",
    "dispute_opened",
    "dispute_closed",
    "event",
    "cycle_closed",
)


def lines(conn: Connection, subscription_id: UUID) -> list[dict[str, Any]]:
    """Return the lines of a subscription's timeline, oldest first."""
    rows = overview.timeline_rows(conn, subscription_id)
    found = [
        *_cycles(rows["cycles"]),
        *_invoices(rows["invoices"]),
        *_attempts(rows["attempts"]),
        *_transitions(rows["transitions"]),
        *_refunds(rows["refunds"]),
        *_disputes(rows["disputes"]),
        *_events(rows["events"]),
    ]
    found.sort(key=lambda pair: pair[0])
    return [line for _, line in found]


_Key = tuple[datetime, int, int]
_Lines = Iterator[tuple[_Key, dict[str, Any]]]


def _line(
    at: datetime, kind: str, order: int, what: str, actor: str | None = None, **references: Any
) -> tuple[_Key, dict[str, Any]]:
    key = (at, _ORDER.index(kind if kind in _ORDER else "event"), order)
    return key, {"at": at, "kind": kind, "what": what, "actor": actor, **references}


def _cycles(rows: list[Row[Any]]) -> _Lines:
    for row in rows:
        span = f"{row.period_start:%Y-%m-%d} to {row.period_end:%Y-%m-%d}"
        what = f"cycle {row.n} ({row.kind}), {span}, terms of {row.plan_version}"
        yield _line(row.opened_at, "cycle_opened", row.n, what, n=row.n)
        if row.closed_at is not None:
            yield _line(row.closed_at, "cycle_closed", row.n, f"cycle {row.n}", n=row.n)


def _invoices(rows: list[Row[Any]]) -> _Lines:
    for row in rows:
        what = f"invoice {row.number}, {Money(row.total, row.currency)}"
        yield _line(row.issued_at, "invoice_issued", row.n, what, n=row.n, invoice=row.number)


def _attempts(rows: list[Row[Any]]) -> _Lines:
    for row in rows:
        refs = {"payment_id": row.payment_id, "attempt": row.n}
        amount = Money(row.amount, row.currency)
        what = f"attempt {row.n} ({row.kind}), {amount}, {row.brand} ending in {row.last4}"
        yield _line(row.first_sent_at, "attempt_sent", row.n, what, "worker", **refs)
        if row.finished_at is not None:
            yield _line(row.finished_at, "attempt_finished", row.n, _outcome(row), "worker", **refs)


def _outcome(row: Row[Any]) -> str:
    code = f" ({row.decline_code})" if row.decline_code else ""
    decision = f": {row.decision}" if row.decision and row.outcome != "succeeded" else ""
    return f"attempt {row.n} {row.outcome}{code}{decision}"


def _transitions(rows: list[Row[Any]]) -> _Lines:
    for row in rows:
        what = f"payment {row.from_state} -> {row.to_state} ({row.cause})"
        yield _line(row.at, "payment_moved", row.id, what, row.actor, payment_id=row.payment_id)


def _refunds(rows: list[Row[Any]]) -> _Lines:
    for order, row in enumerate(rows):
        refs = {"payment_id": row.payment_id, "refund_id": row.id}
        amount = Money(row.amount, row.currency)
        what = f"refund of {amount}: {row.reason}"
        yield _line(row.created_at, "refund_requested", order, what, row.requested_by, **refs)
        if row.finished_at is not None:
            why = f": {row.failure_reason}" if row.failure_reason else ""
            what = f"refund of {amount} {row.state}{why}"
            yield _line(row.finished_at, "refund_finished", order, what, "provider", **refs)


def _disputes(rows: list[Row[Any]]) -> _Lines:
    for order, row in enumerate(rows):
        refs = {"payment_id": row.payment_id, "dispute_id": row.id}
        amount = Money(row.amount, row.currency)
        what = f"dispute of {amount}: {row.reason}"
        yield _line(row.opened_at, "dispute_opened", order, what, "provider", **refs)
        if row.closed_at is not None:
            what = f"dispute of {amount} {row.state}"
            yield _line(row.closed_at, "dispute_closed", order, what, "provider", **refs)


def _events(rows: list[Row[Any]]) -> _Lines:
    for row in rows:
        kind = "subscribed" if row.kind == "created" else row.kind
        yield _line(row.at, kind, row.id, row.words, row.actor)
