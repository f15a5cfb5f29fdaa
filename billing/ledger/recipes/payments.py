"""The entries of captured payments."""

import uuid
from datetime import datetime

from billing.ledger import keys
from billing.ledger.journal import Entry
from billing.ledger.keys import EntryKind
from billing.ledger.recipes.legs import REVENUE, clearing, postings, receivable, taken_back
from billing.rules.money import Money


def payment_captured(
    *,
    payment_id: uuid.UUID,
    provider: str,
    capture: int | str,
    customer_id: uuid.UUID,
    cycle_id: uuid.UUID | None,
    amount: Money,
    effective_at: datetime,
) -> Entry:
    """The provider holds the money; the customer owes that much less.

    `capture` tells several captures of one payment apart: the attempt's number, or the
    provider's charge id. `cycle_id` is None when the cycle is closed already.
    """
    return Entry(
        EntryKind.PAYMENT_CAPTURED,
        keys.payment_captured(payment_id, capture),
        effective_at,
        postings(
            debit=[(clearing(provider), amount)],
            credit=[(receivable(customer_id), amount)],
        ),
        cycle_id=cycle_id,
    )


def capture_returned(of: Entry, *, effective_at: datetime, after_close: bool = False) -> Entry:
    """The money of a capture never came: its entry is reversed exactly, and is owed again."""
    return taken_back(
        of, EntryKind.PAYMENT_CAPTURED, EntryKind.CAPTURE_RETURNED, effective_at, after_close
    )


def one_off_returned(of: Entry, *, effective_at: datetime, after_close: bool = False) -> Entry:
    """The money of a charge without an invoice never came; this follows `capture_returned`."""
    return taken_back(
        of, EntryKind.ONE_OFF_CHARGED, EntryKind.ONE_OFF_RETURNED, effective_at, after_close
    )


def one_off_charged(
    *, payment_id: uuid.UUID, customer_id: uuid.UUID, amount: Money, effective_at: datetime
) -> Entry:
    """A charge without an invoice is a receivable and revenue at once; `payment_captured` follows
    it.
    """
    return Entry(
        EntryKind.ONE_OFF_CHARGED,
        keys.one_off_charged(payment_id),
        effective_at,
        postings(debit=[(receivable(customer_id), amount)], credit=[(REVENUE, amount)]),
    )
