"""Comparing the provider's records with ours: pure, both sides in, a verdict out.

`compare` judges a charge as the list of charges shows it, minutes after it was made. The rows of
a settlement are judged in SQL (`billing.store.settlement.matching`), a night's million at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal  # noqa: TID251  exchange rates are no money
from enum import StrEnum
from typing import Any, Final

from billing.rules.money import Money
from billing.rules.payments import State
from plans.currencies import digits


class BreakKind(StrEnum):
    """What sort of difference reconciliation found."""

    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    FEE_MISMATCH = "fee_mismatch"
    FX_MISMATCH = "fx_mismatch"
    DUPLICATE_CHARGE = "duplicate_charge"
    CAPTURED_AT_PROVIDER_ONLY = "captured_at_provider_only"
    UNKNOWN_AT_PROVIDER = "unknown_at_provider"
    MISSING_AT_PROVIDER = "missing_at_provider"
    REFUND_MISMATCH = "refund_mismatch"
    REFUND_UNKNOWN = "refund_unknown"
    REFUND_MISSING = "refund_missing"
    DISPUTE_MISMATCH = "dispute_mismatch"
    DISPUTE_UNKNOWN = "dispute_unknown"
    PAYOUT_MISMATCH = "payout_mismatch"
    REPORT_MISMATCH = "report_mismatch"
    BALANCE_MISMATCH = "balance_mismatch"
    RECEIVABLE_OPEN = "receivable_open"


SUGGESTED_CAUSES: Final[Mapping[BreakKind, str]] = {
    BreakKind.AMOUNT_MISMATCH: "the PaymentIntent was changed at the provider, or captured in part",
    BreakKind.CURRENCY_MISMATCH: "the PaymentIntent was made by something else than this engine",
    BreakKind.FEE_MISMATCH: "the provider's fee is negative or more than the charge itself",
    BreakKind.FX_MISMATCH: "the provider's exchange rate and its amounts don't fit together",
    BreakKind.DUPLICATE_CHARGE: "two charges of one PaymentIntent or one invoice succeeded",
    BreakKind.CAPTURED_AT_PROVIDER_ONLY: "the customer was charged after we had given up",
    BreakKind.UNKNOWN_AT_PROVIDER: (
        "made in the provider's dashboard or by another system; a conversion is recorded with"
        " `billing fx record`"
    ),
    BreakKind.MISSING_AT_PROVIDER: "booked without a charge, or charged under another account",
    BreakKind.REFUND_MISMATCH: "the refund was changed or failed at the provider",
    BreakKind.REFUND_UNKNOWN: "a refund made in the provider's dashboard or by another system",
    BreakKind.REFUND_MISSING: "the refund is booked as paid, but no money left the balance",
    BreakKind.DISPUTE_MISMATCH: "another amount than the dispute says, or a notice that was lost",
    BreakKind.DISPUTE_UNKNOWN: "the dispute's notice was lost, or its charge is not ours",
    BreakKind.PAYOUT_MISMATCH: "the payout and its balance transaction have different amounts",
    BreakKind.REPORT_MISMATCH: "a report shows a transaction otherwise than it was read before",
    BreakKind.BALANCE_MISMATCH: "money on the provider's balance that no transaction explains",
    BreakKind.RECEIVABLE_OPEN: "the invoice is resolved but the journal still shows a receivable",
}


# --- a charge in the list of charges --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OurSide:
    """What we hold of a payment. `charge_id` is the charge that we believe captured it."""

    state: State
    money: Money
    charge_id: str | None


@dataclass(frozen=True, slots=True)
class ProviderSide:
    """One succeeded and captured charge at the provider."""

    charge_id: str
    money: Money


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Both sides agree."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Our attempt is still open: its own resolution comes first."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The sides differ; `kind` says how."""

    kind: BreakKind


Verdict = Confirmed | NotYet | Difference


def compare(ours: OurSide | None, theirs: ProviderSide) -> Verdict:
    """Judge one captured charge at the provider against the payment it belongs to, if any."""
    if ours is None:
        return Difference(BreakKind.UNKNOWN_AT_PROVIDER)
    if ours.state in (State.CREATED, State.AUTHORIZED):
        # Its answer may be on the way: the open attempt, or the next one, will find the money.
        return NotYet()
    if ours.state is State.FAILED:
        return Difference(BreakKind.CAPTURED_AT_PROVIDER_ONLY)
    if ours.charge_id is not None and ours.charge_id != theirs.charge_id:
        return Difference(BreakKind.DUPLICATE_CHARGE)
    if ours.money.currency != theirs.money.currency:
        return Difference(BreakKind.CURRENCY_MISMATCH)
    if ours.money != theirs.money:
        return Difference(BreakKind.AMOUNT_MISMATCH)
    return Confirmed()


# --- settlement rows ------------------------------------------------------------------------------


class RowOutcome(StrEnum):
    """What became of a settlement row that is no break (a break's row carries the break's kind)."""

    MATCHED = "matched"
    """Both sides agree; it is posted next."""
    WAITING = "waiting"
    """Young, and our side is still deciding: judged again by the next run."""
    CORRECT = "correct"
    """The provider has money that we gave up or never heard of: our side is to be corrected."""
    CORRECTED = "corrected"
    """It was; from here on it is as good as matched."""
    ACCEPTED = "accepted"
    """An operator accepted the difference, so the row counts as matched."""
    RESOLVED = "resolved"
    """An operator explained it away; nothing of it is posted but their adjustment."""


# Stripe's reporting categories (https://docs.stripe.com/reports/reporting-categories).
CHARGES: Final = ("charge",)
REFUNDS: Final = ("refund", "partial_capture_reversal")
REFUND_FAILURES: Final = ("refund_failure",)
DISPUTES: Final = ("dispute", "dispute_reversal")
PAYOUTS: Final = ("payout", "payout_reversal")
FEES: Final = ("fee", "network_cost", "tax")


def rate_makes(sold: Money, bought: Money, rate: Decimal) -> bool:
    """Tell whether an exact rate makes one amount out of another, to a minor unit."""
    return _off(sold, bought, rate) <= 1


def _off(given: Money, taken: Money, rate: Decimal) -> Decimal:
    """Return how many minor units `taken` is off what a rate in major units makes of `given`."""
    power = digits(taken.currency) - digits(given.currency)
    return abs(abs(taken.amount) - abs(given.amount) * rate * Decimal(10) ** power)


# --- resolving a break ----------------------------------------------------------------------------

# Accepting one of these accepts its row: the payment is settled and the fee is posted after all.
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
    """Return the adjustment of `psp_clearing` to suggest: the first thing that it lacks, if any."""
    return next(iter(lacking(kind, ours, provider)), None)


def lacking(
    kind: BreakKind, ours: Mapping[str, Any], provider: Mapping[str, Any]
) -> tuple[Money, ...]:
    """Return what has to be added to `psp_clearing` to say what the provider's balance says.

    One amount a currency, the balance's first; nothing where the difference is none of the
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
            # Only a settlement row says how much really moved, and which way.
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
    """Return what our books have of it: nothing yet of a payment that isn't captured."""
    mine = _money(ours, "amount")
    if mine is not None and ours.get("state") in _NOT_CAPTURED:
        return Money(0, mine.currency)
    return mine


def _sums(*amounts: Money | None) -> tuple[Money, ...]:
    """Add amounts up by currency, in the order they come, and leave out what is nothing."""
    sums: dict[str, Money] = {}
    for money in amounts:
        if money is not None:
            sums[money.currency] = sums.get(money.currency, Money(0, money.currency)) + money
    return tuple(money for money in sums.values() if money.amount)


def still_lacking(wanted: Sequence[Money], adjusted: Money | None) -> tuple[Money, ...]:
    """Return what is still to be added to `psp_clearing` after an adjustment of it."""
    return _sums(*wanted, None if adjusted is None else -adjusted)


def _between(ours: Money | None, theirs: Money | None) -> Money | None:
    if ours is None or theirs is None or ours.currency != theirs.currency:
        return None
    return theirs - ours


def _money(side: Mapping[str, Any], amount: str, currency: str = "currency") -> Money | None:
    if side.get(amount) is None or side.get(currency) is None:
        return None
    return Money(side[amount], side[currency])
