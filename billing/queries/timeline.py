"""Everything that happened to a subscription, merged into one order: facts with links."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from billing.rules.money import Money
from billing.rules.payment_methods import PaymentMethodKind


class TimelineKind(StrEnum):
    """What can happen, in the order in which it is told where several carry one instant.

    They do under a test clock. Events of the subscription itself have their own kinds beside
    `subscribed`, all in the place of `event`.
    """

    SUBSCRIBED = "subscribed"
    CYCLE_OPENED = "cycle_opened"
    INVOICE_ISSUED = "invoice_issued"
    ATTEMPT_SENT = "attempt_sent"
    ATTEMPT_FINISHED = "attempt_finished"
    PAYMENT_MOVED = "payment_moved"
    REFUND_REQUESTED = "refund_requested"
    REFUND_FINISHED = "refund_finished"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_CLOSED = "dispute_closed"
    EVENT = "event"
    CYCLE_CLOSED = "cycle_closed"


_ORDER: Final = tuple(TimelineKind)


@dataclass(frozen=True, slots=True)
class CycleOpened:
    """A cycle was opened for a period."""

    n: int
    kind: str
    period_start: datetime
    period_end: datetime
    plan_version: date


@dataclass(frozen=True, slots=True)
class CycleClosed:
    """A cycle was closed."""

    n: int


@dataclass(frozen=True, slots=True)
class InvoiceIssued:
    """A cycle was invoiced."""

    n: int
    number: str
    total: Money


@dataclass(frozen=True, slots=True)
class AttemptSent:
    """An attempt was sent for the first time."""

    payment_id: UUID
    n: int
    kind: str
    amount: Money
    method_kind: PaymentMethodKind
    brand: str | None
    last4: str | None


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """The outcome of an attempt is known."""

    payment_id: UUID
    n: int
    outcome: str
    decline_code: str | None
    decision: str | None


@dataclass(frozen=True, slots=True)
class PaymentMoved:
    """A payment went from one state to another."""

    payment_id: UUID
    from_state: str
    to_state: str
    cause: str


@dataclass(frozen=True, slots=True)
class RefundRequested:
    """A refund was asked for."""

    payment_id: UUID
    refund_id: UUID
    amount: Money
    reason: str


@dataclass(frozen=True, slots=True)
class RefundFinished:
    """A refund succeeded or failed."""

    payment_id: UUID
    refund_id: UUID
    amount: Money
    state: str
    failure_reason: str | None


@dataclass(frozen=True, slots=True)
class DisputeOpened:
    """A dispute or an inquiry was opened."""

    payment_id: UUID
    dispute_id: UUID
    amount: Money
    reason: str


@dataclass(frozen=True, slots=True)
class DisputeClosed:
    """A dispute or an inquiry came to its end."""

    payment_id: UUID
    dispute_id: UUID
    amount: Money
    state: str


@dataclass(frozen=True, slots=True)
class SubscriptionNoted:
    """Somebody did something to the subscription itself; `words` are what was noted then."""

    words: str


Fact = (
    CycleOpened
    | CycleClosed
    | InvoiceIssued
    | AttemptSent
    | AttemptFinished
    | PaymentMoved
    | RefundRequested
    | RefundFinished
    | DisputeOpened
    | DisputeClosed
    | SubscriptionNoted
)


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One thing that happened, when, and by whom where somebody did it.

    `kind` is a `TimelineKind`, or the kind of the subscription's own event.
    """

    at: datetime
    kind: str
    actor: str | None
    fact: Fact


@dataclass(frozen=True, slots=True)
class _Placed:
    """An entry with its number among those of one instant and kind."""

    order: int
    entry: TimelineEntry

    @property
    def key(self) -> tuple[datetime, int, int]:
        kinds = {str(kind) for kind in _ORDER}
        kind = self.entry.kind if self.entry.kind in kinds else TimelineKind.EVENT
        return self.entry.at, _ORDER.index(TimelineKind(kind)), self.order


def timeline(conn: Connection, subscription_id: UUID) -> list[TimelineEntry]:
    """Return what happened to a subscription, oldest first."""
    placed: list[_Placed] = []
    for query, read in _READERS.items():
        placed += read(conn.execute(text(query), {"id": subscription_id}))
    return [each.entry for each in sorted(placed, key=lambda each: each.key)]


_Rows = Iterable[Row[Any]]


def _placed(order: int, at: datetime, kind: str, fact: Fact, actor: str | None = None) -> _Placed:
    return _Placed(order, TimelineEntry(at, kind, actor, fact))


def _cycles(rows: _Rows) -> Iterator[_Placed]:
    for row in rows:
        opened = CycleOpened(row.n, row.kind, row.period_start, row.period_end, row.plan_version)
        yield _placed(row.n, row.opened_at, TimelineKind.CYCLE_OPENED, opened)
        if row.closed_at is not None:
            yield _placed(row.n, row.closed_at, TimelineKind.CYCLE_CLOSED, CycleClosed(row.n))


def _invoices(rows: _Rows) -> Iterator[_Placed]:
    for row in rows:
        issued = InvoiceIssued(row.n, row.number, Money(row.total, row.currency))
        yield _placed(row.n, row.issued_at, TimelineKind.INVOICE_ISSUED, issued)


def _attempts(rows: _Rows) -> Iterator[_Placed]:
    for row in rows:
        amount = Money(row.amount, row.currency)
        method = PaymentMethodKind(row.method_kind)
        sent = AttemptSent(row.payment_id, row.n, row.kind, amount, method, row.brand, row.last4)
        yield _placed(row.n, row.first_sent_at, TimelineKind.ATTEMPT_SENT, sent, "worker")
        if row.finished_at is not None:
            done = AttemptFinished(
                row.payment_id, row.n, row.outcome, row.decline_code, row.decision
            )
            yield _placed(row.n, row.finished_at, TimelineKind.ATTEMPT_FINISHED, done, "worker")


def _transitions(rows: _Rows) -> Iterator[_Placed]:
    for row in rows:
        moved = PaymentMoved(row.payment_id, row.from_state, row.to_state, row.cause)
        yield _placed(row.id, row.at, TimelineKind.PAYMENT_MOVED, moved, row.actor)


def _refunds(rows: _Rows) -> Iterator[_Placed]:
    for order, row in enumerate(rows):
        amount = Money(row.amount, row.currency)
        asked = RefundRequested(row.payment_id, row.id, amount, row.reason)
        kind = TimelineKind.REFUND_REQUESTED
        yield _placed(order, row.created_at, kind, asked, row.requested_by)
        if row.finished_at is not None:
            done = RefundFinished(row.payment_id, row.id, amount, row.state, row.failure_reason)
            yield _placed(order, row.finished_at, TimelineKind.REFUND_FINISHED, done, "provider")


def _disputes(rows: _Rows) -> Iterator[_Placed]:
    for order, row in enumerate(rows):
        amount = Money(row.amount, row.currency)
        opened = DisputeOpened(row.payment_id, row.id, amount, row.reason)
        yield _placed(order, row.opened_at, TimelineKind.DISPUTE_OPENED, opened, "provider")
        if row.closed_at is not None:
            closed = DisputeClosed(row.payment_id, row.id, amount, row.state)
            yield _placed(order, row.closed_at, TimelineKind.DISPUTE_CLOSED, closed, "provider")


def _events(rows: _Rows) -> Iterator[_Placed]:
    for row in rows:
        kind = TimelineKind.SUBSCRIBED if row.kind == "created" else row.kind
        yield _placed(row.id, row.at, kind, SubscriptionNoted(row.words), row.actor)


_READERS: Final = {
    """
    SELECT n, kind, period_start, period_end, plan_version, opened_at, closed_at
      FROM cycles WHERE subscription_id = :id""": _cycles,
    """
    SELECT i.number, i.total, i.currency, i.issued_at, y.n
      FROM invoices i JOIN cycles y ON y.id = i.cycle_id
     WHERE i.subscription_id = :id""": _invoices,
    """
    SELECT a.*, p.amount, p.currency, m.kind AS method_kind, m.brand, m.last4
      FROM payments p JOIN attempts a ON a.payment_id = p.id
      JOIN payment_methods m ON m.id = a.payment_method_id
     WHERE p.subscription_id = :id""": _attempts,
    """
    SELECT t.* FROM payments p JOIN payment_transitions t ON t.payment_id = p.id
     WHERE p.subscription_id = :id""": _transitions,
    """
    SELECT r.* FROM payments p JOIN refunds r ON r.payment_id = p.id
     WHERE p.subscription_id = :id ORDER BY r.id""": _refunds,
    """
    SELECT d.* FROM payments p JOIN disputes d ON d.payment_id = p.id
     WHERE p.subscription_id = :id ORDER BY d.id""": _disputes,
    """
    SELECT id, at, kind, actor, words FROM subscription_events
     WHERE subscription_id = :id""": _events,
}
