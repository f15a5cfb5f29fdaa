"""Recipes: what each business event posts. Pure: the event's facts in, one entry out.

Debit positive. Source keys are derived from ids, so the same event always makes the same
entry, whoever posts it and however often. An amount of zero posts nothing: a free invoice has
no entry, and asking for one is an error.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from billing.ledger.accounts import Account, AccountCode
from billing.ledger.journal import Entry, JournalError, Posting
from billing.money import Money

_Leg: TypeAlias = tuple[Account, Money]


def _postings(*, debit: Sequence[_Leg], credit: Sequence[_Leg]) -> tuple[Posting, ...]:
    """Return the signed postings of the legs that aren't zero."""
    for account, money in (*debit, *credit):
        if money.amount < 0:
            raise JournalError(f"{account}: a recipe takes amounts from zero up, not {money}")
    debits = [Posting(account, money) for account, money in debit if money.amount]
    credits = [Posting(account, -money) for account, money in credit if money.amount]
    return (*debits, *credits)


def _receivable(customer_id: uuid.UUID) -> Account:
    return Account(AccountCode.RECEIVABLE, customer_id)


_DEFERRED_REVENUE = Account(AccountCode.DEFERRED_REVENUE)
_TAX_PAYABLE = Account(AccountCode.TAX_PAYABLE)
_PSP_CLEARING = Account(AccountCode.PSP_CLEARING)
_BAD_DEBT = Account(AccountCode.BAD_DEBT)


def invoice_issued(
    *,
    invoice_id: uuid.UUID,
    customer_id: uuid.UUID,
    cycle_id: uuid.UUID,
    net: Money,
    tax: Money,
    effective_at: datetime,
) -> Entry:
    """The customer owes the total; the net is to be earned, the tax to be passed on.

    Raises: EmptyEntry for a total of zero.
    """
    return Entry(
        "invoice_issued",
        f"invoice_issued:{invoice_id}",
        effective_at,
        _postings(
            debit=[(_receivable(customer_id), net + tax)],
            credit=[(_DEFERRED_REVENUE, net), (_TAX_PAYABLE, tax)],
        ),
        cycle_id=cycle_id,
    )


def payment_captured(
    *,
    payment_id: uuid.UUID,
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
        "payment_captured",
        f"payment_captured:{payment_id}:{capture}",
        effective_at,
        _postings(
            debit=[(_PSP_CLEARING, amount)],
            credit=[(_receivable(customer_id), amount)],
        ),
        cycle_id=cycle_id,
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
        "write_off",
        f"write_off:{invoice_id}:{nth}",
        effective_at,
        _postings(
            debit=[(_BAD_DEBT, recognised), (_DEFERRED_REVENUE, deferred), (_TAX_PAYABLE, tax)],
            credit=[(_receivable(customer_id), recognised + deferred + tax)],
        ),
        cycle_id=cycle_id,
    )


def invoice_voided(of: Entry, *, effective_at: datetime, after_close: bool = False) -> Entry:
    """The invoice should not have been issued: its entry is taken back exactly."""
    return _taken_back(of, "invoice_issued", "invoice_voided", effective_at, after_close)


def write_off_reversed(of: Entry, *, effective_at: datetime, after_close: bool = False) -> Entry:
    """The invoice is collectable after all, or was paid late: the write-off is taken back.

    A late payment posts this first and `payment_captured` after it.
    """
    return _taken_back(of, "write_off", "write_off_reversed", effective_at, after_close)


def reversal(
    of: Entry,
    *,
    source_key: str,
    effective_at: datetime,
    kind: str = "reversal",
    after_close: bool = False,
) -> Entry:
    """Take an entry back exactly: the same lines, the other way round.

    It belongs to the same cycle, unless that is closed (`after_close`): a closed cycle takes
    no entries. The database lets an entry be reversed once.
    """
    return Entry(
        kind,
        source_key,
        effective_at,
        tuple(posting.negated() for posting in of.postings),
        cycle_id=None if after_close else of.cycle_id,
        reverses=of.source_key,
    )


def _taken_back(
    of: Entry, expected: str, kind: str, effective_at: datetime, after_close: bool
) -> Entry:
    if of.kind != expected:
        raise JournalError(f"{kind} takes back {expected} entries; {of.source_key} is {of.kind}")
    source_key = f"{kind}:{of.source_key.removeprefix(expected + ':')}"
    return reversal(
        of, source_key=source_key, effective_at=effective_at, kind=kind, after_close=after_close
    )
