"""The entries of disputes: withheld, returned or lost.

Money moves when a transaction of the provider says so, and each of them is posted once, under
its own id. A fee is signed: negative where the provider gives it back. It may be in another
currency than the amount, the one our balance is kept in. The customer is unknown where the
payment is.
"""

import uuid
from datetime import datetime

from billing.ledger import keys
from billing.ledger.journal import Entry
from billing.ledger.keys import EntryKind
from billing.ledger.recipes.legs import (
    DEFERRED_REVENUE,
    DISPUTE_FEES,
    DISPUTE_RECEIVABLE,
    DISPUTES_CONTRA,
    TAX_PAYABLE,
    clearing,
    postings,
    taken_back,
    transfer,
)
from billing.rules.money import Money


def dispute_opened(
    *,
    dispute_id: uuid.UUID,
    customer_id: uuid.UUID | None,
    provider: str,
    transaction_id: str,
    amount: Money,
    fee: Money,
    effective_at: datetime,
) -> Entry:
    """The provider withholds the disputed amount until it is decided, and charges a fee."""
    return Entry(
        EntryKind.DISPUTE_OPENED,
        keys.dispute_opened(dispute_id, transaction_id),
        effective_at,
        (
            *postings(debit=[(DISPUTE_RECEIVABLE, amount)], credit=[(clearing(provider), amount)]),
            *transfer(DISPUTE_FEES, clearing(provider), fee),
        ),
        customer_id=customer_id,
    )


def dispute_won(
    *,
    dispute_id: uuid.UUID,
    customer_id: uuid.UUID | None,
    provider: str,
    transaction_id: str,
    amount: Money,
    fee: Money,
    effective_at: datetime,
) -> Entry:
    """The provider gives the disputed amount back, and its fee where it does so (negative)."""
    return Entry(
        EntryKind.DISPUTE_WON,
        keys.dispute_won(dispute_id, transaction_id),
        effective_at,
        (
            *postings(debit=[(clearing(provider), amount)], credit=[(DISPUTE_RECEIVABLE, amount)]),
            *transfer(DISPUTE_FEES, clearing(provider), fee),
        ),
        customer_id=customer_id,
    )


def dispute_lost(
    *,
    dispute_id: uuid.UUID,
    customer_id: uuid.UUID | None,
    recognised: Money,
    deferred: Money,
    tax: Money,
    effective_at: datetime,
    nth: int = 1,
) -> Entry:
    """What was withheld stays with the cardholder, split as a refund is.

    `nth` counts the losses of one dispute: a decision may be taken back and made again.
    """
    return Entry(
        EntryKind.DISPUTE_LOST,
        keys.dispute_lost(dispute_id, nth),
        effective_at,
        postings(
            debit=[(DISPUTES_CONTRA, recognised), (DEFERRED_REVENUE, deferred), (TAX_PAYABLE, tax)],
            credit=[(DISPUTE_RECEIVABLE, recognised + deferred + tax)],
        ),
        customer_id=customer_id,
    )


def dispute_lost_reversed(of: Entry, *, effective_at: datetime, after_close: bool = False) -> Entry:
    """The decision was withdrawn: the loss is reversed exactly."""
    return taken_back(
        of, EntryKind.DISPUTE_LOST, EntryKind.DISPUTE_LOST_REVERSED, effective_at, after_close
    )
