"""Helpers of recipes: signed postings from two lists of legs, and exact reversals."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

from billing.ledger.accounts import Account, AccountCode
from billing.ledger.journal import Entry, JournalError, Posting
from billing.ledger.keys import EntryKind
from billing.rules.money import Money

Leg: TypeAlias = tuple[Account, Money]

ADJUSTMENTS: Final = Account(AccountCode.ADJUSTMENTS)
BAD_DEBT: Final = Account(AccountCode.BAD_DEBT)
BANK: Final = Account(AccountCode.BANK)
CREDIT_BREAKAGE: Final = Account(AccountCode.CREDIT_BREAKAGE)
CREDIT_GRANTS: Final = Account(AccountCode.CREDIT_GRANTS)
CREDIT_ORDERED: Final = Account(AccountCode.CREDIT_ORDERED)
CREDITS_CONTRA: Final = Account(AccountCode.CREDITS_CONTRA)
DEFERRED_REVENUE: Final = Account(AccountCode.DEFERRED_REVENUE)
DISPUTE_FEES: Final = Account(AccountCode.DISPUTE_FEES)
DISPUTE_RECEIVABLE: Final = Account(AccountCode.DISPUTE_RECEIVABLE)
DISPUTES_CONTRA: Final = Account(AccountCode.DISPUTES_CONTRA)
FX_POSITION: Final = Account(AccountCode.FX_POSITION)
PAYOUT_TRANSIT: Final = Account(AccountCode.PAYOUT_TRANSIT)
PSP_FEES: Final = Account(AccountCode.PSP_FEES)
REFUND_PAYABLE: Final = Account(AccountCode.REFUND_PAYABLE)
REFUNDS_CONTRA: Final = Account(AccountCode.REFUNDS_CONTRA)
REVENUE: Final = Account(AccountCode.REVENUE)
TAX_PAYABLE: Final = Account(AccountCode.TAX_PAYABLE)


def clearing(provider: str) -> Account:
    """Return the clearing account of an account at a provider."""
    return Account(AccountCode.PSP_CLEARING, provider=provider)


def customer_credit(customer_id: uuid.UUID) -> Account:
    """Return this customer's credit account."""
    return Account(AccountCode.CUSTOMER_CREDIT, customer_id)


def receivable(customer_id: uuid.UUID) -> Account:
    """Return this customer's receivable account."""
    return Account(AccountCode.RECEIVABLE, customer_id)


def postings(*, debit: Sequence[Leg], credit: Sequence[Leg]) -> tuple[Posting, ...]:
    """Return the signed postings of the legs that aren't zero. Raises: JournalError."""
    for account, money in (*debit, *credit):
        if money.amount < 0:
            raise JournalError(f"{account}: a recipe takes amounts from zero up, not {money}")
    debits = [Posting(account, money) for account, money in debit if money.amount]
    credits = [Posting(account, -money) for account, money in credit if money.amount]
    return (*debits, *credits)


def transfer(to: Account, from_: Account, money: Money) -> tuple[Posting, ...]:
    """Return the postings that debit one account and credit another; the other way if negative."""
    if money.amount < 0:
        to, from_, money = from_, to, -money
    return postings(debit=[(to, money)], credit=[(from_, money)])


def reversal(
    of: Entry,
    *,
    source_key: str,
    effective_at: datetime,
    kind: str = "reversal",
    after_close: bool = False,
) -> Entry:
    """Reverse an entry exactly: the same postings with opposite signs.

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
        customer_id=of.customer_id,
    )


def taken_back(
    of: Entry, expected: EntryKind, kind: EntryKind, effective_at: datetime, after_close: bool
) -> Entry:
    """Return the reversal of an entry of the kind `expected`, under the same ids."""
    if of.kind != expected:
        raise JournalError(f"{kind} takes back {expected} entries; {of.source_key} is {of.kind}")
    source_key = f"{kind}:{of.source_key.removeprefix(expected.prefix)}"
    return reversal(
        of, source_key=source_key, effective_at=effective_at, kind=kind, after_close=after_close
    )
