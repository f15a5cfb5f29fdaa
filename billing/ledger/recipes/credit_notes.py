"""The entries of credit notes: what was invoiced is given back, to credit, refund or outside."""

import uuid
from datetime import datetime

from billing.ledger import keys
from billing.ledger.accounts import Account
from billing.ledger.journal import Entry
from billing.ledger.keys import EntryKind
from billing.ledger.recipes.legs import (
    BANK,
    CREDITS_CONTRA,
    DEFERRED_REVENUE,
    REFUND_PAYABLE,
    TAX_PAYABLE,
    customer_credit,
    postings,
)
from billing.rules.credit_notes import Destination
from billing.rules.money import Money


def credit_note(
    *,
    note_id: uuid.UUID,
    customer_id: uuid.UUID,
    destination: Destination,
    recognised: Money,
    deferred: Money,
    tax: Money,
    effective_at: datetime,
) -> Entry:
    """The customer gets the sum of the parts, as credit, by a refund that we owe, or from our bank.

    What was earned lowers revenue, what wasn't is no longer to be earned, the tax is no longer
    owed. It names no cycle, which is closed when it is paid.
    """
    return Entry(
        EntryKind.CREDIT_NOTE,
        keys.credit_note(note_id),
        effective_at,
        postings(
            debit=[(CREDITS_CONTRA, recognised), (DEFERRED_REVENUE, deferred), (TAX_PAYABLE, tax)],
            credit=[(_given(destination, customer_id), recognised + deferred + tax)],
        ),
        customer_id=customer_id,
    )


def _given(destination: Destination, customer_id: uuid.UUID) -> Account:
    match destination:
        case Destination.CREDIT:
            return customer_credit(customer_id)
        case Destination.REFUND:
            return REFUND_PAYABLE
        case Destination.OUTSIDE:
            return BANK


def credit_note_credited(
    *, note_id: uuid.UUID, customer_id: uuid.UUID, amount: Money, effective_at: datetime
) -> Entry:
    """The refund of a credit note failed: what we owe of it is the customer's credit now."""
    return Entry(
        EntryKind.CREDIT_NOTE_CREDITED,
        keys.credit_note_credited(note_id),
        effective_at,
        postings(debit=[(REFUND_PAYABLE, amount)], credit=[(customer_credit(customer_id), amount)]),
    )
