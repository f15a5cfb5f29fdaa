"""The entries of invoices: issued, earned, voided, written off."""

import uuid
from datetime import datetime

from billing.ledger import keys
from billing.ledger.journal import Entry
from billing.ledger.keys import EntryKind
from billing.ledger.recipes.legs import (
    BAD_DEBT,
    CREDIT_ORDERED,
    DEFERRED_REVENUE,
    REVENUE,
    TAX_PAYABLE,
    postings,
    receivable,
    taken_back,
)
from billing.rules.money import Money


def invoice_issued(
    *,
    invoice_id: uuid.UUID,
    customer_id: uuid.UUID,
    cycle_id: uuid.UUID | None,
    net: Money,
    tax: Money,
    effective_at: datetime,
) -> Entry:
    """The customer owes the total; the net is to be earned, the tax to be passed on.

    Raises: EmptyEntry for a total of zero.
    """
    return Entry(
        EntryKind.INVOICE_ISSUED,
        keys.invoice_issued(invoice_id),
        effective_at,
        postings(
            debit=[(receivable(customer_id), net + tax)],
            credit=[(DEFERRED_REVENUE, net), (TAX_PAYABLE, tax)],
        ),
        cycle_id=cycle_id,
    )


def top_up_issued(
    *, invoice_id: uuid.UUID, customer_id: uuid.UUID, total: Money, effective_at: datetime
) -> Entry:
    """The customer owes for credit, which they hold once they have paid; nothing is earned."""
    return Entry(
        EntryKind.INVOICE_ISSUED,
        keys.invoice_issued(invoice_id),
        effective_at,
        postings(debit=[(receivable(customer_id), total)], credit=[(CREDIT_ORDERED, total)]),
    )


def top_up_written_off(
    *,
    invoice_id: uuid.UUID,
    customer_id: uuid.UUID,
    total: Money,
    effective_at: datetime,
    nth: int = 1,
) -> Entry:
    """Credit that was ordered won't be paid for: nobody owes and nobody gets anything."""
    return Entry(
        EntryKind.WRITE_OFF,
        keys.write_off(invoice_id, nth),
        effective_at,
        postings(debit=[(CREDIT_ORDERED, total)], credit=[(receivable(customer_id), total)]),
    )


def invoice_voided(of: Entry, *, effective_at: datetime, after_close: bool = False) -> Entry:
    """The invoice is void: its entry is reversed exactly."""
    return taken_back(
        of, EntryKind.INVOICE_ISSUED, EntryKind.INVOICE_VOIDED, effective_at, after_close
    )


def revenue_recognized(*, invoice_id: uuid.UUID, amount: Money, through: datetime) -> Entry:
    """The service was given up to `through`: that much of the invoice is earned.

    It carries no cycle: a cycle closes when it is paid, which is long before all is earned.
    """
    return Entry(
        EntryKind.REVENUE_RECOGNIZED,
        keys.recognised(invoice_id, through),
        through,
        postings(debit=[(DEFERRED_REVENUE, amount)], credit=[(REVENUE, amount)]),
    )


def recognition_taken_back(*, invoice_id: uuid.UUID, amount: Money, at: datetime) -> Entry:
    """What was earned of an invoice is to be earned again: the invoice is being voided."""
    return Entry(
        EntryKind.RECOGNITION_TAKEN_BACK,
        keys.recognised(invoice_id, at, taken_back=True),
        at,
        postings(debit=[(REVENUE, amount)], credit=[(DEFERRED_REVENUE, amount)]),
    )


def write_off(
    *,
    invoice_id: uuid.UUID,
    customer_id: uuid.UUID,
    cycle_id: uuid.UUID | None,
    recognised: Money,
    deferred: Money,
    tax: Money,
    effective_at: datetime,
    nth: int = 1,
) -> Entry:
    """The invoice will not be collected: the customer owes nothing more for it.

    What was earned already is bad debt; what wasn't is no longer to be earned; the tax is no
    longer owed. `nth` counts the write-offs of one invoice: a reopened one may need a second.
    """
    return Entry(
        EntryKind.WRITE_OFF,
        keys.write_off(invoice_id, nth),
        effective_at,
        postings(
            debit=[(BAD_DEBT, recognised), (DEFERRED_REVENUE, deferred), (TAX_PAYABLE, tax)],
            credit=[(receivable(customer_id), recognised + deferred + tax)],
        ),
        cycle_id=cycle_id,
    )


def write_off_reversed(of: Entry, *, effective_at: datetime, after_close: bool = False) -> Entry:
    """The invoice is collectable after all, or was paid late: the write-off is reversed.

    A late payment posts this first and `payment_captured` after it.
    """
    return taken_back(
        of, EntryKind.WRITE_OFF, EntryKind.WRITE_OFF_REVERSED, effective_at, after_close
    )
