"""What the journal has of the very movement that a break is about."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from billing.ledger import keys
from billing.rules.money import Money
from billing.rules.reconciliation import BreakKind
from billing.rules.refunds import RefundState
from billing.store.journal import clearing
from billing.store.payments import disputes, refunds
from billing.store.payments.refunds import Refund
from billing.store.settlement import rows

_OF_CAPTURES: Final = frozenset(
    {BreakKind.AMOUNT_MISMATCH, BreakKind.CURRENCY_MISMATCH, BreakKind.MISSING_AT_PROVIDER}
)
_OF_REFUNDS: Final = frozenset(
    {BreakKind.REFUND_MISMATCH, BreakKind.REFUND_UNKNOWN, BreakKind.REFUND_MISSING}
)
_OF_DISPUTES: Final = frozenset({BreakKind.DISPUTE_MISMATCH, BreakKind.DISPUTE_UNKNOWN})
_UNDECIDED: Final = frozenset({RefundState.REQUESTED, RefundState.PENDING})


def booked(
    conn: Connection,
    kind: BreakKind,
    provider: str,
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    *,
    payment_id: UUID | None,
    break_id: UUID | None = None,
) -> tuple[Money, ...]:
    """Return what `psp_clearing` of the account has of a break's movement, by currency.

    Adjustments of other breaks about the same transaction are part of it. A refund that isn't
    decided counts as booked: its entry follows by itself.
    """
    transaction = theirs.get("balance_transaction")
    made: list[str] = []
    if transaction is not None:
        made += clearing.adjustments_of(conn, provider, transaction, besides=break_id)
    # A capture brings money in: what leaves is the part that was not captured.
    if kind in _OF_CAPTURES and payment_id is not None and (theirs.get("amount") or 0) >= 0:
        made += clearing.captures_of(conn, payment_id)
    if kind in _OF_DISPUTES and transaction is not None:
        made += _dispute_keys(conn, provider, ours, theirs, str(transaction))
    expected: tuple[Money, ...] = ()
    if kind in _OF_REFUNDS:
        refund = _refund(conn, provider, ours, theirs)
        if refund is not None and refund.state in _UNDECIDED:
            expected = (-refund.money,)
        elif refund is not None:
            made += _refund_keys(conn, refund, theirs)
    return (*expected, *clearing.booked(conn, provider, made))


def _dispute_keys(
    conn: Connection,
    provider: str,
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    transaction: str,
) -> Iterator[str]:
    known = ours.get("dispute")
    dispute_id = (
        UUID(known)
        if known is not None
        else disputes.id_of(conn, provider, theirs.get("source") or "")
    )
    if dispute_id is not None:
        yield keys.dispute_opened(dispute_id, transaction)
        yield keys.dispute_won(dispute_id, transaction)


def _refund(
    conn: Connection, provider: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Refund | None:
    if ours.get("refund") is not None:
        return refunds.get(conn, UUID(ours["refund"]))
    source = theirs.get("source") or theirs.get("refund")
    return None if source is None else refunds.by_provider_id(conn, provider, source)


def _refund_keys(conn: Connection, refund: Refund, theirs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of the entries that a refund's movement is about.

    Money that left is about the refund's return as well, unless the return has a row of its own.
    """
    paid, returned = keys.refund_succeeded(refund.id), keys.refund_returned(refund.id)
    if "balance_transaction" not in theirs:
        return paid, returned
    if theirs["amount"] > 0:
        return (returned,)
    source = refund.provider_refund_id or ""
    return (paid,) if rows.shows_return(conn, refund.provider, source) else (paid, returned)
