"""Everything that happened to a subscription, merged into one order: facts with links."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Connection, text

from billing.queries.timeline_facts import (
    AttemptFinished,
    AttemptSent,
    CreditMoved,
    CreditNoteIssued,
    CycleClosed,
    CycleOpened,
    DisputeClosed,
    DisputeOpened,
    Fact,
    InvoiceIssued,
    PaymentMoved,
    RefundFinished,
    RefundRequested,
    SubscriptionNoted,
)
from billing.rules.credit import CreditSource, MoveKind
from billing.rules.credit_notes import Destination
from billing.rules.money import Money
from billing.rules.payment_methods import PaymentMethodKind
from billing.store.rows import Reader, reader


class TimelineKind(StrEnum):
    """What can happen, in the order in which it is told where several carry one instant.

    They do under a test clock. Events of the subscription itself have their own kinds beside
    `subscribed`, all in the place of `event`.
    """

    SUBSCRIBED = "subscribed"
    CREDIT_NOTE_ISSUED = "credit_note_issued"
    CREDIT_GRANTED = "credit_granted"
    CYCLE_OPENED = "cycle_opened"
    INVOICE_ISSUED = "invoice_issued"
    CREDIT_APPLIED = "credit_applied"
    ATTEMPT_SENT = "attempt_sent"
    ATTEMPT_FINISHED = "attempt_finished"
    PAYMENT_MOVED = "payment_moved"
    REFUND_REQUESTED = "refund_requested"
    REFUND_FINISHED = "refund_finished"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_CLOSED = "dispute_closed"
    EVENT = "event"
    CREDIT_RETURNED = "credit_returned"
    CREDIT_EXPIRED = "credit_expired"
    CYCLE_CLOSED = "cycle_closed"


_ORDER: Final = tuple(TimelineKind)


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
        for row in conn.execute(text(query), {"id": subscription_id}):
            placed += read(row).entries()
    return [each.entry for each in sorted(placed, key=lambda each: each.key)]


def _placed(order: int, at: datetime, kind: str, fact: Fact, actor: str | None = None) -> _Placed:
    return _Placed(order, TimelineEntry(at, kind, actor, fact))


# --- the rows that the facts are made of ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cycle:
    n: int
    kind: str
    period_start: datetime
    period_end: datetime
    plan_version: date
    opened_at: datetime
    closed_at: datetime | None

    def entries(self) -> Iterator[_Placed]:
        opened = CycleOpened(
            self.n, self.kind, self.period_start, self.period_end, self.plan_version
        )
        yield _placed(self.n, self.opened_at, TimelineKind.CYCLE_OPENED, opened)
        if self.closed_at is not None:
            yield _placed(self.n, self.closed_at, TimelineKind.CYCLE_CLOSED, CycleClosed(self.n))


@dataclass(frozen=True, slots=True)
class _Invoice:
    number: str
    total: int
    currency: str
    issued_at: datetime
    n: int | None

    def entries(self) -> Iterator[_Placed]:
        issued = InvoiceIssued(self.n, self.number, Money(self.total, self.currency))
        yield _placed(self.n or 0, self.issued_at, TimelineKind.INVOICE_ISSUED, issued)


@dataclass(frozen=True, slots=True)
class _Attempt:
    payment_id: UUID
    n: int
    kind: str
    amount: int
    currency: str
    method_kind: PaymentMethodKind
    brand: str | None
    last4: str | None
    first_sent_at: datetime
    finished_at: datetime | None
    outcome: str | None
    decline_code: str | None
    decision: str | None
    decision_facts: Mapping[str, Any]

    def entries(self) -> Iterator[_Placed]:
        amount = Money(self.amount, self.currency)
        sent = AttemptSent(
            self.payment_id, self.n, self.kind, amount, self.method_kind, self.brand, self.last4
        )
        yield _placed(self.n, self.first_sent_at, TimelineKind.ATTEMPT_SENT, sent, "worker")
        if self.finished_at is not None:
            assert self.outcome is not None, "a finished attempt has an outcome"
            done = AttemptFinished(
                self.payment_id,
                self.n,
                self.outcome,
                self.decline_code,
                self.decision,
                self.decision_facts,
            )
            yield _placed(self.n, self.finished_at, TimelineKind.ATTEMPT_FINISHED, done, "worker")


@dataclass(frozen=True, slots=True)
class _Transition:
    id: int
    payment_id: UUID
    at: datetime
    from_state: str
    to_state: str
    cause: str
    actor: str

    def entries(self) -> Iterator[_Placed]:
        moved = PaymentMoved(self.payment_id, self.from_state, self.to_state, self.cause)
        yield _placed(self.id, self.at, TimelineKind.PAYMENT_MOVED, moved, self.actor)


@dataclass(frozen=True, slots=True)
class _Refund:
    id: UUID
    payment_id: UUID
    amount: int
    currency: str
    reason: str
    requested_by: str
    created_at: datetime
    finished_at: datetime | None
    state: str
    failure_reason: str | None
    place: int

    def entries(self) -> Iterator[_Placed]:
        amount = Money(self.amount, self.currency)
        asked = RefundRequested(self.payment_id, self.id, amount, self.reason)
        kind = TimelineKind.REFUND_REQUESTED
        yield _placed(self.place, self.created_at, kind, asked, self.requested_by)
        if self.finished_at is not None:
            done = RefundFinished(self.payment_id, self.id, amount, self.state, self.failure_reason)
            kind = TimelineKind.REFUND_FINISHED
            yield _placed(self.place, self.finished_at, kind, done, "provider")


@dataclass(frozen=True, slots=True)
class _Dispute:
    id: UUID
    payment_id: UUID
    amount: int
    currency: str
    reason: str
    opened_at: datetime
    closed_at: datetime | None
    state: str
    place: int

    def entries(self) -> Iterator[_Placed]:
        amount = Money(self.amount, self.currency)
        opened = DisputeOpened(self.payment_id, self.id, amount, self.reason)
        yield _placed(self.place, self.opened_at, TimelineKind.DISPUTE_OPENED, opened, "provider")
        if self.closed_at is not None:
            closed = DisputeClosed(self.payment_id, self.id, amount, self.state)
            kind = TimelineKind.DISPUTE_CLOSED
            yield _placed(self.place, self.closed_at, kind, closed, "provider")


@dataclass(frozen=True, slots=True)
class _CreditMove:
    kind: MoveKind
    at: datetime
    actor: str
    grant_id: UUID
    source: CreditSource
    amount: int
    currency: str
    reason: str
    invoice: str | None
    place: int

    def entries(self) -> Iterator[_Placed]:
        amount = Money(self.amount, self.currency)
        moved = CreditMoved(
            self.kind, self.grant_id, self.source, amount, self.reason, self.invoice
        )
        yield _placed(self.place, self.at, f"credit_{self.kind}", moved, self.actor)


@dataclass(frozen=True, slots=True)
class _Note:
    number: str
    n: int
    invoice: str
    total: int
    currency: str
    destination: Destination
    reason: str
    actor: str
    created_at: datetime

    def entries(self) -> Iterator[_Placed]:
        amount = Money(self.total, self.currency)
        issued = CreditNoteIssued(self.number, self.invoice, amount, self.destination, self.reason)
        kind = TimelineKind.CREDIT_NOTE_ISSUED
        yield _placed(self.n, self.created_at, kind, issued, self.actor)


@dataclass(frozen=True, slots=True)
class _Event:
    id: int
    at: datetime
    kind: str
    actor: str
    words: str | None
    detail: Mapping[str, Any]

    def entries(self) -> Iterator[_Placed]:
        kind = TimelineKind.SUBSCRIBED if self.kind == "created" else self.kind
        noted = SubscriptionNoted(self.kind, self.words, self.detail)
        yield _placed(self.id, self.at, kind, noted, self.actor)


class _HasEntries(Protocol):
    def entries(self) -> Iterator[_Placed]: ...


_READERS: Final[Mapping[str, Reader[_HasEntries]]] = {
    """
    SELECT n, kind, period_start, period_end, plan_version, opened_at, closed_at
      FROM cycles WHERE subscription_id = :id""": reader(_Cycle),
    """
    SELECT i.number, i.total, i.currency, i.issued_at, y.n
      FROM invoices i LEFT JOIN cycles y ON y.id = i.cycle_id
     WHERE i.subscription_id = :id""": reader(_Invoice),
    """
    SELECT a.*, k.first_sent_at, p.amount, p.currency, m.kind AS method_kind, m.brand, m.last4
      FROM payments p JOIN attempts a ON a.payment_id = p.id
      JOIN provider_calls k ON k.subject_id = p.id AND k.kind = 'charge' AND k.n = a.n
      JOIN payment_methods m ON m.id = a.payment_method_id
     WHERE p.subscription_id = :id""": reader(_Attempt),
    """
    SELECT t.* FROM payments p JOIN payment_transitions t ON t.payment_id = p.id
     WHERE p.subscription_id = :id""": reader(_Transition),
    """
    SELECT r.*, row_number() OVER (ORDER BY r.id) AS place
      FROM payments p JOIN refunds r ON r.payment_id = p.id
     WHERE p.subscription_id = :id""": reader(_Refund),
    """
    SELECT d.*, row_number() OVER (ORDER BY d.id) AS place
      FROM payments p JOIN disputes d ON d.payment_id = p.id
     WHERE p.subscription_id = :id""": reader(_Dispute),
    """
    SELECT m.kind, m.at, m.actor, m.grant_id, g.source, m.amount, m.currency, g.reason,
           i.number AS invoice, row_number() OVER (ORDER BY m.grant_id, m.n) AS place
      FROM subscriptions s
      JOIN credit_grants g ON g.customer_id = s.customer_id AND g.currency = s.currency
       AND (g.subscription_id IS NULL OR g.subscription_id = s.id)
      JOIN credit_moves m ON m.grant_id = g.id
      LEFT JOIN invoices i ON i.id = m.invoice_id
     WHERE s.id = :id AND m.kind <> 'refunded'
       AND CASE WHEN m.invoice_id IS NULL THEN g.source <> 'small'
                ELSE i.subscription_id = s.id END""": reader(_CreditMove),
    """
    SELECT c.*, i.number AS invoice
      FROM credit_notes c JOIN invoices i ON i.id = c.invoice_id
     WHERE c.subscription_id = :id""": reader(_Note),
    """
    SELECT id, at, kind, actor, words, detail FROM subscription_events
     WHERE subscription_id = :id""": reader(_Event),
}
