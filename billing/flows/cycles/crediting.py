"""Paying invoices with credit, inside the caller's transaction.

The customers' credit is locked before an invoice is drafted, so what the draft uses is still there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection

from billing.ids import derived_id
from billing.ledger import keys, recipes
from billing.ledger.journal import Entry
from billing.pricing import InvoiceDraft
from billing.rules.actor import SCHEDULER, Actor
from billing.rules.credit import PRIORITY, CreditSource, MoveKind
from billing.rules.money import Money
from billing.store.journal import posting
from billing.store.payments import credit
from billing.store.payments.credit import GrantLeft, NewGrant, NewMove
from billing.store.payments.credit_notes import CreditNote


class Credited(Protocol):
    """An invoice that credit pays for."""

    @property
    def invoice_id(self) -> UUID: ...  # noqa: D102
    @property
    def cycle_id(self) -> UUID | None: ...  # noqa: D102
    @property
    def customer_id(self) -> UUID: ...  # noqa: D102
    @property
    def draft(self) -> InvoiceDraft: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class UsedCredit:
    """What pays invoices: grants of what is too small to be charged, moves, and their entries."""

    small: Sequence[NewGrant] = ()
    moves: Sequence[NewMove] = ()
    entries: Sequence[Entry] = ()


def used(conn: Connection, invoices: Sequence[Credited], now: datetime) -> UsedCredit:
    """Return what credit pays of each invoice; the customers' credit is locked.

    What is too small to be charged is granted and used at once. The caller posts the entries, and
    writes the rest once the invoices are there.
    """
    paid = [each for each in invoices if each.draft.total != each.draft.due]
    if not paid:
        return UsedCredit()
    small = [_small(each, now) for each in paid if each.draft.small]
    grants = credit.lock_left(conn, sorted({each.customer_id for each in paid}))
    now_left = {grant.id: grant for grants_of in grants.values() for grant in grants_of}
    now_left |= {grant["id"]: credit.as_granted(grant) for grant in small}
    moves: list[NewMove] = []
    entries = [_granted(grant, now) for grant in small]
    for invoice in paid:
        for grant_id, amount in _parts(invoice, now):
            grant = now_left[grant_id]
            applied = (MoveKind.APPLIED, grant, amount, now, SCHEDULER, invoice.invoice_id)
            moves.append(credit.next_move(*applied))
            now_left[grant_id] = grant.after(moves[-1])
            entries.append(_entry(invoice, grant_id, Money(amount, invoice.draft.currency), now))
    return UsedCredit(small, moves, entries)


def write(conn: Connection, paying: UsedCredit) -> None:
    """Write down what pays invoices, which are there."""
    credit.add_grants(conn, paying.small)
    credit.add_moves(conn, paying.moves)


def give_back(conn: Connection, invoice_id: UUID, now: datetime, actor: Actor) -> None:
    """Give the credit back that paid for an invoice, which is void now."""
    applied = credit.applied_to(conn, invoice_id)
    if not applied:
        return
    grants = credit.lock_left(conn, sorted({each.customer_id for each in applied}))
    left = {grant.id: grant for of_customer in grants.values() for grant in of_customer}
    for each in applied:
        grant = left[each.grant_id]
        move = credit.next_move(MoveKind.RETURNED, grant, each.amount, now, actor, invoice_id)
        credit.add_moves(conn, [move])
        key = keys.credit_applied(invoice_id, each.grant_id)
        posting.reverse(conn, key, recipes.credit_returned, effective_at=now)
        if grant.has_expired(now):
            credit.set_expiry_due(conn, [grant.id], now)


def grant_note(conn: Connection, note: CreditNote, now: datetime) -> None:
    """Grant what a credit note gives back; the caller posts its entry."""
    credit.add_grants(
        conn,
        [
            {
                "id": _id_of_grant(note.id, now),
                "customer_id": note.customer_id,
                "currency": note.currency,
                "amount": note.total,
                "source": CreditSource.CREDIT_NOTE,
                "priority": PRIORITY,
                "subscription_id": None,
                "effective_at": now,
                "expires_at": None,
                "reason": f"credit note {note.number}",
                "invoice_id": note.invoice_id,
                "actor": note.actor,
                "created_at": now,
                "note_id": note.id,
            }
        ],
    )


def grant_of_note(note_id: UUID, customer_id: UUID, total: Money, now: datetime) -> GrantLeft:
    """Return what a note that is about to be issued will grant."""
    return GrantLeft(
        id=_id_of_grant(note_id, now),
        customer_id=customer_id,
        currency=total.currency,
        amount=total.amount,
        source=CreditSource.CREDIT_NOTE,
        priority=PRIORITY,
        subscription_id=None,
        effective_at=now,
        expires_at=None,
        expiry_due_at=None,
        created_at=now,
        n=0,
        left=total.amount,
    )


def _id_of_grant(note_id: UUID, now: datetime) -> UUID:
    return derived_id("credit note", note_id, 0, now)


def _parts(invoice: Credited, now: datetime) -> Iterator[tuple[UUID, int]]:
    """Yield the grants that pay an invoice, with the amount of each."""
    for each in invoice.draft.credit:
        yield each.grant, each.amount
    if invoice.draft.small:
        yield _small_id(invoice.invoice_id, now), invoice.draft.small


def _small_id(invoice_id: UUID, now: datetime) -> UUID:
    return derived_id("small", invoice_id, 0, now)


def _small(invoice: Credited, now: datetime) -> NewGrant:
    return {
        "id": _small_id(invoice.invoice_id, now),
        "customer_id": invoice.customer_id,
        "currency": invoice.draft.currency,
        "amount": invoice.draft.small,
        "source": CreditSource.SMALL,
        "priority": 50,
        "subscription_id": None,
        "effective_at": now,
        "expires_at": None,
        "reason": "too small to be charged",
        "invoice_id": invoice.invoice_id,
        "actor": str(SCHEDULER),
        "created_at": now,
    }


def _granted(grant: NewGrant, now: datetime) -> Entry:
    return recipes.credit_granted(
        grant_id=grant["id"],
        customer_id=grant["customer_id"],
        amount=Money(grant["amount"], grant["currency"]),
        effective_at=now,
    )


def _entry(invoice: Credited, grant_id: UUID, amount: Money, now: datetime) -> Entry:
    return recipes.credit_applied(
        invoice_id=invoice.invoice_id,
        grant_id=grant_id,
        customer_id=invoice.customer_id,
        cycle_id=invoice.cycle_id,
        amount=amount,
        effective_at=now,
    )
