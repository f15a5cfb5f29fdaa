"""The adjustments of `psp_clearing` for a break, and the kinds of breaks that can be accepted."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from billing.rules.money import Money
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
    kind: BreakKind, provider: Mapping[str, Any], booked: Sequence[Money]
) -> Money | None:
    """Return the suggested adjustment of `psp_clearing`: the first amount that it lacks, if any."""
    return next(iter(lacking(kind, provider, booked)), None)


def lacking(
    kind: BreakKind, provider: Mapping[str, Any], booked: Sequence[Money]
) -> tuple[Money, ...]:
    """Return the amounts that `psp_clearing` lacks to equal the provider's balance.

    `booked` is what the journal has of this very movement. One amount a currency, the balance's
    first; empty where the difference doesn't touch the balance. Amounts of money that leaves are
    negative. Fee and exchange of a row that is accepted are posted by themselves; the fee of a
    dispute is part of its own entry.
    """
    less = [-each for each in booked]
    shown = _money(provider, "customer_amount", "customer_currency")
    if shown is None:
        shown = _money(provider, "amount")
    match kind:
        case BreakKind.AMOUNT_MISMATCH:
            return () if shown is None else _sums(shown, *less)
        case BreakKind.REFUND_MISMATCH | BreakKind.DISPUTE_MISMATCH:
            # Only a settlement row has the amount and direction that really moved.
            if shown is None or "balance_transaction" not in provider:
                return ()
            fee = _money(provider, "fee") if kind is BreakKind.DISPUTE_MISMATCH else None
            return _sums(None if fee is None else -fee, shown, *less)
        case BreakKind.MISSING_AT_PROVIDER | BreakKind.REFUND_MISSING:
            return _sums(*less)
        case BreakKind.BALANCE_MISMATCH:
            return _sums(_money(provider, "unexplained"))
        case kind if kind in _WHOLE:
            net = _money(provider, "net")
            return () if net is None else _sums(net, *less)
        case _:
            return ()


# Nothing of a row of these kinds is posted when its break is resolved.
_WHOLE: Final = frozenset(
    {
        BreakKind.CURRENCY_MISMATCH,
        BreakKind.UNKNOWN_AT_PROVIDER,
        BreakKind.DUPLICATE_CHARGE,
        BreakKind.CAPTURED_AT_PROVIDER_ONLY,
        BreakKind.REFUND_UNKNOWN,
        BreakKind.DISPUTE_UNKNOWN,
    }
)


def _sums(*amounts: Money | None) -> tuple[Money, ...]:
    """Add amounts up by currency, in the given order, and leave out zeros."""
    sums: dict[str, Money] = {}
    for money in amounts:
        if money is not None:
            sums[money.currency] = sums.get(money.currency, Money(0, money.currency)) + money
    return tuple(money for money in sums.values() if money.amount)


def needs_second_person(adjustment: Money | None, above: Mapping[str, int]) -> bool:
    """Tell whether an adjustment is above what one person may post, in minor units by currency.

    In a currency that isn't named, one person may post any.
    """
    if adjustment is None or adjustment.currency not in above:
        return False
    return abs(adjustment.amount) > above[adjustment.currency]


def still_lacking(wanted: Sequence[Money], adjusted: Money | None) -> tuple[Money, ...]:
    """Return the amounts that `psp_clearing` still lacks after an adjustment."""
    return _sums(*wanted, None if adjusted is None else -adjusted)


def _money(side: Mapping[str, Any], amount: str, currency: str = "currency") -> Money | None:
    if side.get(amount) is None or side.get(currency) is None:
        return None
    return Money(side[amount], side[currency])
