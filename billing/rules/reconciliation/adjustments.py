"""The adjustments of `psp_clearing` for a break, and the kinds of breaks that can be accepted."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from billing.rules.money import Money
from billing.rules.payments import State
from billing.rules.reconciliation.breaks import BreakKind

# Resolving a break of these kinds accepts its row: the payment is settled and the fee is posted.
ACCEPTABLE: Final = frozenset(
    {
        BreakKind.AMOUNT_MISMATCH,
        BreakKind.FEE_MISMATCH,
        BreakKind.FX_MISMATCH,
        BreakKind.REFUND_MISMATCH,
        BreakKind.DISPUTE_MISMATCH,
        BreakKind.PAYOUT_MISMATCH,
    }
)


def suggested_adjustment(
    kind: BreakKind, ours: Mapping[str, Any], provider: Mapping[str, Any]
) -> Money | None:
    """Return the suggested adjustment of `psp_clearing`: the first amount that it lacks, if any."""
    return next(iter(lacking(kind, ours, provider)), None)


def lacking(
    kind: BreakKind, ours: Mapping[str, Any], provider: Mapping[str, Any]
) -> tuple[Money, ...]:
    """Return the amounts that `psp_clearing` lacks to equal the provider's balance.

    One amount a currency, the balance's first; empty where the difference doesn't touch the
    balance. On both sides of a break, amounts of money that leaves are negative.
    """
    mine = _booked(ours)
    shown = _money(provider, "customer_amount", "customer_currency")
    if shown is None:
        shown = _money(provider, "amount")
    match kind:
        case BreakKind.AMOUNT_MISMATCH:
            return _sums(_between(mine, shown))
        case BreakKind.REFUND_MISMATCH | BreakKind.DISPUTE_MISMATCH:
            # Only a settlement row has the amount and direction that really moved.
            return _sums(_between(mine, shown)) if "balance_transaction" in provider else ()
        case BreakKind.MISSING_AT_PROVIDER | BreakKind.REFUND_MISSING:
            return _sums(None if mine is None else -mine)
        case BreakKind.BALANCE_MISMATCH:
            return _sums(_money(provider, "unexplained"))
        case BreakKind.CURRENCY_MISMATCH:
            net = _money(provider, "net")
            return () if net is None else _sums(net, None if mine is None else -mine)
        case kind if kind in _ONLY_THEIRS:
            return _sums(_money(provider, "net"))
        case _:
            return ()


_ONLY_THEIRS: Final = frozenset(
    {
        BreakKind.UNKNOWN_AT_PROVIDER,
        BreakKind.DUPLICATE_CHARGE,
        BreakKind.CAPTURED_AT_PROVIDER_ONLY,
        BreakKind.REFUND_UNKNOWN,
        BreakKind.DISPUTE_UNKNOWN,
    }
)
_NOT_CAPTURED: Final = frozenset({State.CREATED, State.AUTHORIZED, State.FAILED})


def _booked(ours: Mapping[str, Any]) -> Money | None:
    """Return the amount in our books: none for a payment that isn't captured."""
    mine = _money(ours, "amount")
    if mine is not None and ours.get("state") in _NOT_CAPTURED:
        return Money(0, mine.currency)
    return mine


def _sums(*amounts: Money | None) -> tuple[Money, ...]:
    """Add amounts up by currency, in the given order, and leave out zeros."""
    sums: dict[str, Money] = {}
    for money in amounts:
        if money is not None:
            sums[money.currency] = sums.get(money.currency, Money(0, money.currency)) + money
    return tuple(money for money in sums.values() if money.amount)


def still_lacking(wanted: Sequence[Money], adjusted: Money | None) -> tuple[Money, ...]:
    """Return the amounts that `psp_clearing` still lacks after an adjustment."""
    return _sums(*wanted, None if adjusted is None else -adjusted)


def _between(ours: Money | None, theirs: Money | None) -> Money | None:
    if ours is None or theirs is None or ours.currency != theirs.currency:
        return None
    return theirs - ours


def _money(side: Mapping[str, Any], amount: str, currency: str = "currency") -> Money | None:
    if side.get(amount) is None or side.get(currency) is None:
        return None
    return Money(side[amount], side[currency])
