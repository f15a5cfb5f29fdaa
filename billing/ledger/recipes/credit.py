"""The entries of credit: granted, applied to an invoice, returned, expired."""

import uuid
from datetime import datetime

from billing.ledger import keys
from billing.ledger.journal import Entry
from billing.ledger.keys import EntryKind
from billing.ledger.recipes.legs import (
    CREDIT_BREAKAGE,
    CREDIT_GRANTS,
    CREDIT_ORDERED,
    DISPUTES_CONTRA,
    REFUNDS_CONTRA,
    customer_credit,
    postings,
    receivable,
    taken_back,
)
from billing.rules.money import Money


def credit_granted(
    *, grant_id: uuid.UUID, customer_id: uuid.UUID, amount: Money, effective_at: datetime
) -> Entry:
    """We give credit away: the customer holds it, and it costs us that much."""
    return Entry(
        EntryKind.CREDIT_GRANTED,
        keys.credit_granted(grant_id),
        effective_at,
        postings(debit=[(CREDIT_GRANTS, amount)], credit=[(customer_credit(customer_id), amount)]),
    )


def credit_bought(
    *, grant_id: uuid.UUID, customer_id: uuid.UUID, amount: Money, effective_at: datetime
) -> Entry:
    """A customer paid for credit that they had ordered: they hold it from now on."""
    return Entry(
        EntryKind.CREDIT_BOUGHT,
        keys.credit_bought(grant_id),
        effective_at,
        postings(debit=[(CREDIT_ORDERED, amount)], credit=[(customer_credit(customer_id), amount)]),
    )


def credit_refunded(
    *,
    grant_id: uuid.UUID,
    n: int,
    customer_id: uuid.UUID,
    amount: Money,
    by_bank: bool,
    effective_at: datetime,
) -> Entry:
    """Credit goes with the money it was bought with: what went back wasn't lost revenue.

    `n` is the number of the move; `by_bank` tells that a dispute took the money, and no refund.
    """
    return Entry(
        EntryKind.CREDIT_REFUNDED,
        keys.credit_refunded(grant_id, n),
        effective_at,
        postings(
            debit=[(customer_credit(customer_id), amount)],
            credit=[(DISPUTES_CONTRA if by_bank else REFUNDS_CONTRA, amount)],
        ),
    )


def credit_restored(
    *,
    grant_id: uuid.UUID,
    n: int,
    customer_id: uuid.UUID,
    amount: Money,
    by_bank: bool,
    effective_at: datetime,
) -> Entry:
    """The money stayed, or came back: the customer holds the credit again."""
    return Entry(
        EntryKind.CREDIT_RESTORED,
        keys.credit_restored(grant_id, n),
        effective_at,
        postings(
            debit=[(DISPUTES_CONTRA if by_bank else REFUNDS_CONTRA, amount)],
            credit=[(customer_credit(customer_id), amount)],
        ),
    )


def credit_applied(
    *,
    invoice_id: uuid.UUID,
    grant_id: uuid.UUID,
    customer_id: uuid.UUID,
    cycle_id: uuid.UUID | None,
    amount: Money,
    effective_at: datetime,
) -> Entry:
    """Credit pays part of an invoice: the customer holds and owes that much less."""
    return Entry(
        EntryKind.CREDIT_APPLIED,
        keys.credit_applied(invoice_id, grant_id),
        effective_at,
        postings(
            debit=[(customer_credit(customer_id), amount)],
            credit=[(receivable(customer_id), amount)],
        ),
        cycle_id=cycle_id,
    )


def credit_returned(of: Entry, *, effective_at: datetime, after_close: bool = False) -> Entry:
    """The invoice is void: the customer holds the credit again."""
    return taken_back(
        of, EntryKind.CREDIT_APPLIED, EntryKind.CREDIT_RETURNED, effective_at, after_close
    )


def credit_expired(
    *,
    grant_id: uuid.UUID,
    n: int,
    customer_id: uuid.UUID,
    amount: Money,
    paid_for: bool,
    effective_at: datetime,
) -> Entry:
    """What is left of a grant expired: revenue where it was paid for, else it cost us less.

    `n` is the number of the move.
    """
    gained = CREDIT_BREAKAGE if paid_for else CREDIT_GRANTS
    return Entry(
        EntryKind.CREDIT_EXPIRED,
        keys.credit_expired(grant_id, n),
        effective_at,
        postings(debit=[(customer_credit(customer_id), amount)], credit=[(gained, amount)]),
    )
