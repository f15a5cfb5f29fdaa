"""The entries of settlements: fees, payouts, exchanges, and accepted differences."""

import uuid
from datetime import datetime

from billing.ledger import keys
from billing.ledger.accounts import Account
from billing.ledger.journal import Entry, JournalError
from billing.ledger.keys import EntryKind
from billing.ledger.recipes.legs import (
    ADJUSTMENTS,
    BANK,
    FX_POSITION,
    PAYOUT_TRANSIT,
    PSP_FEES,
    clearing,
    postings,
    taken_back,
    transfer,
)
from billing.rules.money import Money


def fee_settled(*, provider: str, transaction_id: str, fee: Money, effective_at: datetime) -> Entry:
    """The provider keeps its fee from what it holds; a negative fee is given back."""
    return Entry(
        EntryKind.FEE_SETTLED,
        keys.fee_settled(provider, transaction_id),
        effective_at,
        transfer(PSP_FEES, clearing(provider), fee),
    )


def movement_booked(
    *, provider: str, transaction_id: str, account: Account, amount: Money, effective_at: datetime
) -> Entry:
    """What the provider holds changed by `amount`, for what `account` stands for."""
    return Entry(
        EntryKind.MOVEMENT_BOOKED,
        keys.movement_booked(provider, transaction_id),
        effective_at,
        transfer(clearing(provider), account, amount),
    )


def payout_sent(*, provider: str, payout_id: str, amount: Money, effective_at: datetime) -> Entry:
    """The provider sent what it held to our bank; a negative payout is fetched from there."""
    return Entry(
        EntryKind.PAYOUT_SENT,
        keys.payout_sent(provider, payout_id),
        effective_at,
        transfer(PAYOUT_TRANSIT, clearing(provider), amount),
    )


def payout_arrived(
    *, provider: str, payout_id: str, amount: Money, effective_at: datetime
) -> Entry:
    """The payout is in our bank account."""
    return Entry(
        EntryKind.PAYOUT_ARRIVED,
        keys.payout_arrived(provider, payout_id),
        effective_at,
        transfer(BANK, PAYOUT_TRANSIT, amount),
    )


def payout_failed(of: Entry, *, effective_at: datetime) -> Entry:
    """The payout won't arrive: the provider holds the money again."""
    return taken_back(of, EntryKind.PAYOUT_SENT, EntryKind.PAYOUT_FAILED, effective_at, False)


def payout_came_back(
    *, provider: str, payout_id: str, amount: Money, effective_at: datetime
) -> Entry:
    """A payout won't arrive whose departure we haven't seen; its `payout_sent` may follow."""
    return Entry(
        EntryKind.PAYOUT_FAILED,
        keys.payout_failed(provider, payout_id),
        effective_at,
        transfer(clearing(provider), PAYOUT_TRANSIT, amount),
    )


def payout_returned(of: Entry, *, effective_at: datetime) -> Entry:
    """The bank sent a payout back that had arrived; `payout_failed` follows it."""
    return taken_back(of, EntryKind.PAYOUT_ARRIVED, EntryKind.PAYOUT_RETURNED, effective_at, False)


def fx_event(
    *,
    provider: str,
    source: str,
    sold: Money,
    bought: Money,
    fee: Money,
    effective_at: datetime,
) -> Entry:
    """The provider exchanged what it holds: `sold` left in one currency, `bought` came in another.

    The two sides stand against each other in `fx_position`; `fee` is part of what was bought and
    stays with the provider. Raises: JournalError for one currency on both sides.
    """
    if sold.currency == bought.currency:
        raise JournalError(
            f"{keys.fx_event(provider, source)} exchanges {sold} for {bought}: that's one currency"
        )
    return Entry(
        EntryKind.FX_EVENT,
        keys.fx_event(provider, source),
        effective_at,
        postings(
            debit=[(FX_POSITION, sold), (clearing(provider), bought - fee), (PSP_FEES, fee)],
            credit=[(clearing(provider), sold), (FX_POSITION, bought)],
        ),
    )


def adjustment(
    *, break_id: uuid.UUID, account: Account, change: Money, effective_at: datetime
) -> Entry:
    """A difference that an operator accepted: `account` changes by `change`, debit positive."""
    return Entry(
        EntryKind.ADJUSTMENT,
        keys.adjustment(break_id),
        effective_at,
        transfer(account, ADJUSTMENTS, change),
    )
