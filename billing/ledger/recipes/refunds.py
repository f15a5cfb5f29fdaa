"""The entries of refunds: a liability when requested, paid when the provider has paid."""

import uuid
from datetime import datetime

from billing.ledger import keys
from billing.ledger.journal import Entry
from billing.ledger.keys import EntryKind
from billing.ledger.recipes.legs import (
    DEFERRED_REVENUE,
    REFUND_PAYABLE,
    REFUNDS_CONTRA,
    TAX_PAYABLE,
    clearing,
    postings,
    taken_back,
)
from billing.rules.money import Money


def refund_requested(
    *,
    refund_id: uuid.UUID,
    customer_id: uuid.UUID,
    cycle_id: uuid.UUID | None,
    recognised: Money,
    deferred: Money,
    tax: Money,
    effective_at: datetime,
) -> Entry:
    """We owe the customer the sum of the parts.

    What was earned lowers revenue through its contra account, what wasn't is no longer to be
    earned, the tax is no longer owed. `cycle_id` is None when the cycle is closed already.
    """
    return Entry(
        EntryKind.REFUND_REQUESTED,
        keys.refund_requested(refund_id),
        effective_at,
        postings(
            debit=[(REFUNDS_CONTRA, recognised), (DEFERRED_REVENUE, deferred), (TAX_PAYABLE, tax)],
            credit=[(REFUND_PAYABLE, recognised + deferred + tax)],
        ),
        cycle_id=cycle_id,
        customer_id=customer_id,
    )


def refund_succeeded(
    *,
    refund_id: uuid.UUID,
    provider: str,
    customer_id: uuid.UUID,
    cycle_id: uuid.UUID | None,
    amount: Money,
    effective_at: datetime,
) -> Entry:
    """The provider gave the money back: we owe it no more, and it holds that much less."""
    return Entry(
        EntryKind.REFUND_SUCCEEDED,
        keys.refund_succeeded(refund_id),
        effective_at,
        postings(debit=[(REFUND_PAYABLE, amount)], credit=[(clearing(provider), amount)]),
        cycle_id=cycle_id,
        customer_id=customer_id,
    )


def refund_failed(of: Entry, *, effective_at: datetime, after_close: bool = False) -> Entry:
    """The refund won't be paid: the entry of its request is reversed exactly."""
    return taken_back(
        of, EntryKind.REFUND_REQUESTED, EntryKind.REFUND_FAILED, effective_at, after_close
    )


def refund_returned(of: Entry, *, effective_at: datetime, after_close: bool = False) -> Entry:
    """A refund that had succeeded came back to the provider; `refund_failed` follows it."""
    return taken_back(
        of, EntryKind.REFUND_SUCCEEDED, EntryKind.REFUND_RETURNED, effective_at, after_close
    )
