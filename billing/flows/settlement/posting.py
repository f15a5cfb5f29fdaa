"""Posting: payments become SETTLED; fees, exchanges and payouts get their entries.

A payment is SETTLED when its charge's balance transaction was read and matched: from then on the
provider's own books show the money as ours, with its fee. Its payout is another event with an entry
of its own.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal  # noqa: TID251  exchange rates are no money
from typing import Any, Final

from sqlalchemy import Connection

from billing.flows.settlement.step_run import StepRun
from billing.ledger import keys, recipes
from billing.ledger.accounts import Account, AccountCode
from billing.ledger.journal import Entry
from billing.plans.currencies import digits
from billing.rules.money import Money
from billing.rules.reconciliation import BOOKED_BY_RULE, DISPUTES, OF_CUSTOMERS, MovementKind
from billing.store.arrays import literal
from billing.store.journal import posting, reads
from billing.store.settlement import exchanges as fx
from billing.store.settlement import payouts
from billing.store.settlement import rows as settlement_rows
from billing.store.settlement.rows import SettlementRow

BATCH: Final = 2_000
# A dispute's fee is part of the dispute's own entries.
_FEE_POSTED_ELSEWHERE: Final = DISPUTES
_ACCOUNTS: Final[Mapping[MovementKind, AccountCode]] = {
    MovementKind.RESERVE: AccountCode.PSP_RESERVES,
    MovementKind.CONTRIBUTION: AccountCode.CONTRIBUTIONS,
}
_AS_SUCH: Final = (*_ACCOUNTS, *BOOKED_BY_RULE)
_RATE_DIGITS: Final = Decimal("1E-12")


def post(step: StepRun) -> None:
    """Post every matched row, then the payouts that arrived, and last the reversals of payouts.

    A reversal needs the entry that it reverses. A movement whose rule was removed since it was
    matched is a break again at the next run.
    """
    with step.batch() as conn:
        ruled = sorted(step.context.policy.movement_accounts)
        settlement_rows.unmatch_unruled(conn, step.provider, ruled)
    for late in (False, True):
        if step.cursor.get("late", False) and not late:
            continue
        if late and not step.cursor.get("late", False):
            step.cursor = {"late": True, "after": ""}
        while _post_next(step, late=late):
            pass
    with step.batch() as conn:
        _payouts_arrived(conn, step)


def _post_next(step: StepRun, *, late: bool) -> bool:
    now = step.now
    with step.batch() as conn:
        rows = settlement_rows.take_unposted(
            conn,
            step.provider,
            after=step.cursor.get("after", ""),
            limit=BATCH,
            payout_failures=late,
            now=now,
        )
        if not rows:
            return False
        charges = _ids(rows, MovementKind.CHARGE)
        step.counts["settled"] += settlement_rows.settle_payments(conn, step.provider, charges, now)
        exchanges = [event for row in rows for event in _exchange(row)]
        step.counts["exchanges"] += fx.add(conn, step.provider, exchanges)
        rules = step.context.policy.movement_accounts
        entries = [entry for row in rows for entry in _entries(row)]
        entries += [_as_such(row, rules) for row in rows if row.kind in _AS_SUCH and row.amount]
        if late:
            entries += _payouts_failed(conn, rows)
        posted = posting.post(conn, entries) if entries else []
        step.counts["entries"] += sum(entry.created for entry in posted)
        refunds = _ids(rows, MovementKind.REFUND)
        settlement_rows.settle_refunds(conn, step.provider, refunds, now)
        step.counts["rows"] += len(rows)
        step.cursor["after"] = rows[-1].provider_transaction_id
    return True


def _ids(rows: Sequence[SettlementRow], kind: MovementKind) -> str:
    """Return the ids of the rows of a kind that belong to a payment, as an array literal."""
    return literal(
        [
            row.provider_transaction_id
            for row in rows
            if row.kind == kind and row.payment_id is not None
        ]
    )


def _entries(row: SettlementRow) -> list[Entry]:
    """Return the entries of a balance transaction that its own event hasn't posted."""
    made: list[Entry] = []
    transaction, at = row.provider_transaction_id, row.created
    fee = -row.net if row.kind == MovementKind.FEE else row.fee
    if fee and row.kind not in _FEE_POSTED_ELSEWHERE:
        money = Money(fee, row.currency)
        made.append(
            recipes.fee_settled(
                provider=row.provider, transaction_id=transaction, fee=money, effective_at=at
            )
        )
    if (exchanged := _exchanged(row)) is not None:
        sold, bought = exchanged
        nothing = Money(0, bought.currency)
        made.append(
            recipes.fx_event(
                provider=row.provider,
                source=transaction,
                sold=sold,
                bought=bought,
                fee=nothing,
                effective_at=at,
            )
        )
    if row.kind == MovementKind.PAYOUT and row.amount:
        made.append(
            recipes.payout_sent(
                provider=row.provider,
                payout_id=_payout_id(row),
                amount=Money(-row.amount, row.currency),
                effective_at=at,
            )
        )
    return made


def _as_such(row: SettlementRow, rules: Mapping[str, str]) -> Entry:
    """Return the entry of a movement that is booked for what it is."""
    return recipes.movement_booked(
        provider=row.provider,
        transaction_id=row.provider_transaction_id,
        account=_account_of(row, rules),
        amount=Money(row.amount, row.currency),
        effective_at=row.created,
    )


def _account_of(row: SettlementRow, rules: Mapping[str, str]) -> Account:
    """Return the account that a movement is booked to as such."""
    if row.kind in _ACCOUNTS:
        return Account(_ACCOUNTS[row.kind])
    return Account(AccountCode(rules[row.category]))


def _payout_id(row: SettlementRow) -> str:
    """Return the payout of a row's movement; a later payout may contain the row."""
    return str(row.source_id or row.provider_payout_id or row.provider_transaction_id)


# --- exchanges ----------------------------------------------------------------------------------


def _exchanged(row: SettlementRow) -> tuple[Money, Money] | None:
    """Return the exchange of a row whose customer currency isn't the balance's, or None.

    Money that leaves (a refund) is exchanged back: the balance's currency for the customer's.
    """
    if (
        row.kind not in OF_CUSTOMERS
        or row.customer_currency is None
        or row.customer_currency == row.currency
        or not row.amount
        or not row.customer_amount
    ):
        return None
    theirs = Money(abs(row.customer_amount), row.customer_currency)
    ours = Money(abs(row.amount), row.currency)
    return (theirs, ours) if row.amount > 0 else (ours, theirs)


def _exchange(row: SettlementRow) -> list[Mapping[str, Any]]:
    exchanged = _exchanged(row)
    if exchanged is None:
        return []
    sold, bought = exchanged
    theirs, ours = exchanged if row.amount > 0 else (bought, sold)
    return [
        {
            "source_key": keys.fx_event(row.provider, row.provider_transaction_id),
            "source": f"{row.provider_transaction_id}: "
            + ("the provider's rate" if row.exchange_rate is not None else "from its amounts"),
            "from_currency": sold.currency,
            "from_amount": sold.amount,
            "to_currency": bought.currency,
            "to_amount": bought.amount,
            "rate": str(row.exchange_rate or _rate_of(theirs, ours)),
            "at": row.created,
            "payment_id": row.payment_id,
        }
    ]


def _rate_of(theirs: Money, ours: Money) -> Decimal:
    """Return the rate that two amounts imply, customer's to balance's currency, in major units.

    Reports carry no rate. This one is for reading; the amounts are what was exchanged.
    """
    power = digits(theirs.currency) - digits(ours.currency)
    rate = Decimal(ours.amount) / Decimal(theirs.amount) * Decimal(10) ** power
    return max(rate.quantize(_RATE_DIGITS), _RATE_DIGITS)


# --- payouts ------------------------------------------------------------------------------------


def _payouts_failed(conn: Connection, rows: Sequence[SettlementRow]) -> list[Entry]:
    """Reverse payouts that failed; one that had arrived first gets an entry of its return from the
    bank.
    """
    made: list[Entry] = []
    for row in rows:
        payout = _payout_id(row)
        arrived = reads.entry_by_source_key(conn, keys.payout_arrived(row.provider, payout))
        if arrived is not None:
            made.append(recipes.payout_returned(arrived.entry, effective_at=row.created))
        sent = reads.entry_by_source_key(conn, keys.payout_sent(row.provider, payout))
        if sent is not None:
            made.append(recipes.payout_failed(sent.entry, effective_at=row.created))
        elif row.amount:
            # It left before these books begin, or a later report will show its departure.
            came_back = Money(row.amount, row.currency)
            made.append(
                recipes.payout_came_back(
                    provider=row.provider,
                    payout_id=payout,
                    amount=came_back,
                    effective_at=row.created,
                )
            )
    return made


def _payouts_arrived(conn: Connection, step: StepRun) -> None:
    due = payouts.payouts_to_book(conn, step.provider)
    entries = [
        recipes.payout_arrived(
            provider=payout.provider,
            payout_id=payout.provider_payout_id,
            amount=Money(payout.amount, payout.currency),
            effective_at=payout.arrival or payout.created,
        )
        for payout in due
    ]
    if entries:
        posting.post(conn, entries)
    step.counts["payouts_arrived"] += len(entries)
