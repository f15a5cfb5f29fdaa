"""A cycle in the books: revenue earned, journal entries, and what holds it open."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection

from billing.ledger import keys
from billing.queries.explain.billed import Billed
from billing.queries.explain.money_back import MANY
from billing.queries.settlement import BreakLink, open_breaks_of_cycle
from billing.rules.invoices import InvoiceStatus
from billing.rules.money import Money
from billing.rules.payments import CallKind
from billing.rules.periods import Period
from billing.store.journal import reads
from billing.store.journal.reads import StoredEntry
from billing.store.payments import (
    credit,
    credit_notes,
    disputes,
    invoices,
    payment_history,
    provider_calls,
    recognition,
    refunds,
    top_ups,
)
from billing.store.payments.disputes import Dispute
from billing.store.payments.invoices import Invoice
from billing.store.payments.payments import Payment
from billing.store.payments.recognition import LineStanding
from billing.store.subscriptions.cycles import Cycle


@dataclass(frozen=True, slots=True)
class LineRevenue:
    """How much of a line was earned, and is still to be; `service` None: it is earned at once."""

    line: int
    description: str
    net: Money
    service: Period | None
    earned: Money
    left: Money


@dataclass(frozen=True, slots=True)
class RevenueFacts:
    """How much of an invoice was earned up to when, and of each line.

    `left` is None when it earns no more.
    """

    invoice_id: UUID
    net: Money
    earned: Money
    up_to: datetime | None
    ended_as: InvoiceStatus | None
    left: Money | None
    next_at: datetime | None
    lines: tuple[LineRevenue, ...]


@dataclass(frozen=True, slots=True)
class LegFacts:
    """One posting: a debit is positive."""

    account: str
    money: Money


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """One journal entry; `late` came when the cycle was closed already."""

    id: int
    kind: str
    effective_at: datetime
    late: bool
    legs: tuple[LegFacts, ...]


class HoldKind(StrEnum):
    """What can hold a cycle open."""

    NOT_PAID = "not_paid"
    NOT_CONFIRMED = "not_confirmed"
    NOT_SETTLED = "not_settled"
    ATTEMPT_OPEN = "attempt_open"
    PERIOD_NOT_OVER = "period_not_over"
    BREAK = "break"


@dataclass(frozen=True, slots=True)
class HoldFacts:
    """One thing that holds a cycle open, until when where that is known."""

    kind: HoldKind
    until: datetime | None = None
    found: BreakLink | None = None


@dataclass(frozen=True, slots=True)
class CycleFacts:
    """When a cycle was opened and closed, or what holds it open."""

    id: UUID
    n: int
    opened_at: datetime
    closed_at: datetime | None
    digest: str | None
    held_by: tuple[HoldFacts, ...]


def revenue_facts(conn: Connection, invoice: Invoice) -> RevenueFacts:
    """Return what an invoice has earned, and when it earns next."""
    standing = recognition.standings(conn, [invoice.id])[invoice.id]
    told = {line.line: line.description for line in invoices.lines(conn, invoice.id)}
    ended = not invoice.status.earns
    left = None if ended or not standing.left.deferred else standing.left.deferred
    return RevenueFacts(
        invoice_id=invoice.id,
        net=Money(invoice.net, invoice.currency),
        earned=Money(standing.recognised, invoice.currency),
        up_to=standing.last,
        ended_as=invoice.status if ended else None,
        left=None if left is None else Money(left, invoice.currency),
        next_at=None if left is None else invoice.recognise_at,
        lines=tuple(
            _line_revenue(line, told[line.line], invoice, ended) for line in standing.lines
        ),
    )


def _line_revenue(
    line: LineStanding, description: str, invoice: Invoice, ended: bool
) -> LineRevenue:
    return LineRevenue(
        line=line.line,
        description=description,
        net=Money(line.net, invoice.currency),
        service=line.period,
        earned=Money(line.recognised, invoice.currency),
        left=Money(0 if ended else line.left.deferred, invoice.currency),
    )


def journal_facts(conn: Connection, billed: Billed) -> tuple[EntryFacts, ...]:
    """Return the entries of a cycle, or of a one-off payment."""
    return tuple(_entry(stored, billed) for stored in _entries(conn, billed))


def _entry(stored: StoredEntry, billed: Billed) -> EntryFacts:
    entry = stored.entry
    return EntryFacts(
        id=stored.id,
        kind=entry.kind,
        effective_at=entry.effective_at,
        late=entry.cycle_id is None and billed.cycle is not None,
        legs=tuple(LegFacts(str(leg.account.code), leg.money) for leg in entry.postings),
    )


def _entries(conn: Connection, billed: Billed) -> Iterator[StoredEntry]:
    """Yield the cycle's entries, and those that came when it was closed already."""
    found = reads.entries_of(conn, [billed.cycle.id]) if billed.cycle is not None else []
    yield from found
    known = {stored.id for stored in found}
    for key in (*_invoice_keys(conn, billed), *_late_keys(billed), *_money_keys(conn, billed)):
        stored = reads.entry_by_source_key(conn, key)
        if stored is not None and stored.id not in known:
            yield stored


def _invoice_keys(conn: Connection, billed: Billed) -> Iterator[str]:
    """Yield the keys of an invoice of no cycle: issued, paid by credit, voided, written off."""
    invoice, payment = billed.invoice, billed.payment
    if invoice is None or billed.cycle is not None:
        return
    for used in credit.applied_to(conn, invoice.id):
        yield keys.credit_applied(invoice.id, used.grant_id)
    grant_id = top_ups.grant_of(conn, invoice.id)
    if grant_id is not None:
        yield keys.credit_bought(grant_id)
    failed = 0 if payment is None else payment_history.times_failed(conn, payment.id)
    yield from keys.of_invoice(invoice.id, write_offs=failed)


def _late_keys(billed: Billed) -> Iterator[str]:
    if billed.payment is None:
        return
    yield keys.one_off_charged(billed.payment.id)
    yield keys.one_off_returned(billed.payment.id)
    for n in range(1, billed.payment.attempt_n + 1):
        yield keys.payment_captured(billed.payment.id, n)
        yield keys.capture_returned(billed.payment.id, n)


def _money_keys(conn: Connection, billed: Billed) -> Iterator[str]:
    """Yield the source keys of credit notes, refunds, losses and steps of revenue."""
    if billed.invoice is not None:
        for note in credit_notes.page(conn, invoice_id=billed.invoice.id, limit=MANY):
            yield keys.credit_note(note.id)
            yield keys.credit_note_credited(note.id)
    if billed.payment is not None:
        for row in refunds.page(conn, payment_id=billed.payment.id, limit=MANY):
            yield from keys.of_refund(row.id)
        for dispute in disputes.page(conn, payment_id=billed.payment.id, limit=MANY):
            yield from _dispute_keys(dispute)
    if billed.invoice is not None:
        for earned in recognition.of_invoice(conn, billed.invoice.id):
            taken_back = earned.amount <= 0
            yield keys.recognised(billed.invoice.id, earned.through, taken_back=taken_back)


def _dispute_keys(row: Dispute) -> Iterator[str]:
    for transaction_id in row.transaction_ids:
        yield keys.dispute_opened(row.id, transaction_id)
        yield keys.dispute_won(row.id, transaction_id)
    for time in range(1, row.times_lost + 1):
        yield keys.dispute_lost(row.id, time)
        yield keys.dispute_lost_reversed(row.id, time)


def cycle_facts(conn: Connection, billed: Billed, now: datetime) -> CycleFacts | None:
    """Return the state of a cycle's books; None for a one-off payment."""
    cycle = billed.cycle
    if cycle is None:
        return None
    closed = cycle.closed_at is not None
    return CycleFacts(
        id=cycle.id,
        n=cycle.n,
        opened_at=cycle.opened_at,
        closed_at=cycle.closed_at,
        digest=cycle.digest,
        held_by=() if closed else tuple(_holds(conn, billed, cycle, now)),
    )


def _holds(conn: Connection, billed: Billed, cycle: Cycle, now: datetime) -> Iterator[HoldFacts]:
    invoice, payment = billed.invoice, billed.payment
    if invoice is not None and invoice.status is InvoiceStatus.OPEN:
        yield HoldFacts(HoldKind.NOT_PAID)
    if payment is not None:
        yield from _payment_holds(conn, payment)
    written_off = invoice is not None and not invoice.status.earns
    if written_off and cycle.period_end > now:
        yield HoldFacts(HoldKind.PERIOD_NOT_OVER, until=cycle.period_end)
    for found in open_breaks_of_cycle(conn, cycle.id):
        yield HoldFacts(HoldKind.BREAK, found=found)


def _payment_holds(conn: Connection, payment: Payment) -> Iterator[HoldFacts]:
    if payment.captured_at is not None and payment.confirmed_at is None:
        yield HoldFacts(HoldKind.NOT_CONFIRMED)
    elif payment.captured_at is not None and payment.settled_at is None:
        yield HoldFacts(HoldKind.NOT_SETTLED)
    if provider_calls.open_call(conn, payment.id, CallKind.CHARGE) is not None:
        yield HoldFacts(HoldKind.ATTEMPT_OPEN)
