"""The specification of how settlement rows are judged: both sides in, an outcome out.

The product judges rows in SQL (`billing.store.settlement_match`) and never calls these functions.
`tests/store/test_settlement_match.py` compares the two for every combination of both sides, and
`tests/unit/test_settlement_oracle.py` says as tables what these functions return.
"""

from dataclasses import dataclass
from decimal import Decimal  # noqa: TID251  exchange rates are no money

from billing.plans.currencies import digits
from billing.rules.money import Money
from billing.rules.payments import State
from billing.rules.reconciliation import BreakKind, RowOutcome

Outcome = RowOutcome | BreakKind


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """The settlement record of a charge.

    `money` is what the customer paid; `settled` is the same in the currency of the balance, from
    which `fee` is taken. `rate` is the provider's, from the one currency to the other, in major
    units; reports carry none. `young` means that its payment may still be on its way to us.
    """

    charge_id: str | None
    money: Money
    settled: Money
    fee: int
    rate: Decimal | None = None
    young: bool = False


@dataclass(frozen=True, slots=True)
class PaymentSide:
    """What we hold of a payment. `taken`: another charge settled it, or comes before this one."""

    state: State
    money: Money
    charge_id: str | None = None
    voided: bool = False
    taken: bool = False


def judge_charge(ours: PaymentSide | None, theirs: ChargeRow) -> Outcome:
    """Judge the settlement record of a charge against the payment it belongs to, if any."""
    if ours is None:
        return BreakKind.UNKNOWN_AT_PROVIDER
    if ours.taken or (ours.charge_id and theirs.charge_id and ours.charge_id != theirs.charge_id):
        return BreakKind.DUPLICATE_CHARGE
    undecided = ours.state in (State.CREATED, State.AUTHORIZED)
    if undecided and theirs.young:
        return RowOutcome.WAITING
    if (difference := _different_money(ours.money, theirs)) is not None:
        return difference
    if ours.state is State.FAILED and ours.voided:
        # Nobody owes it any more: the customer gets it back, and a person sees to that.
        return BreakKind.CAPTURED_AT_PROVIDER_ONLY
    if undecided or ours.state is State.FAILED:
        return RowOutcome.CORRECT
    return RowOutcome.MATCHED


def _different_money(ours: Money, theirs: ChargeRow) -> BreakKind | None:
    if ours.currency != theirs.money.currency:
        return BreakKind.CURRENCY_MISMATCH
    if ours != theirs.money:
        return BreakKind.AMOUNT_MISMATCH
    if not 0 <= theirs.fee <= theirs.settled.amount:
        return BreakKind.FEE_MISMATCH
    if not rate_fits(theirs.money, theirs.settled, theirs.rate):
        return BreakKind.FX_MISMATCH
    return None


def rate_fits(shown: Money, settled: Money, rate: Decimal | None) -> bool:
    """Tell whether a rate explains two amounts, to a minor unit or a hundredth of a percent.

    Providers round the rates that they show. A rate that isn't there explains everything.
    """
    if rate is None:
        return shown.currency != settled.currency or shown == settled
    power = digits(settled.currency) - digits(shown.currency)
    made = abs(shown.amount) * rate * Decimal(10) ** power
    return abs(abs(settled.amount) - made) <= 1 + Decimal(abs(settled.amount)) / 10_000


@dataclass(frozen=True, slots=True)
class MoneyOut:
    """A refund or a dispute on either side; amounts are positive. `state` is our own word."""

    money: Money
    state: str = ""


def judge_refund(
    ours: MoneyOut | None,
    theirs: Money,
    *,
    failure: bool = False,
    young: bool = False,
    returned: bool = False,
) -> Outcome:
    """Judge money that left for a refund, or came back because the refund failed.

    `returned`: the provider shows that what left came back.
    """
    if ours is None:
        return RowOutcome.WAITING if young else BreakKind.REFUND_UNKNOWN
    if ours.money != theirs:
        return BreakKind.REFUND_MISMATCH
    over = ours.state in ("failed", "canceled")
    heard = over if failure else ours.state != "requested" and (returned or not over)
    if heard:
        return RowOutcome.MATCHED
    return RowOutcome.WAITING if young else BreakKind.REFUND_MISMATCH


@dataclass(frozen=True, slots=True)
class Moved:
    """A movement of a dispute: the customer's money, negative where it is withheld, and the fee.

    `money` is None where the provider doesn't say how much it is in the customer's currency.
    """

    money: Money | None
    fee: int = 0


def judge_dispute(
    ours: MoneyOut | None, theirs: Moved, *, young: bool = False, booked: Moved | None = None
) -> Outcome:
    """Judge money that was withdrawn for a dispute, or given back after it.

    `ours` is None too for a dispute whose charge we don't know. `booked` is what our books have of
    this very movement: a dispute may move in parts, so its own amount says nothing about one.
    """
    if ours is None:
        return RowOutcome.WAITING if young else BreakKind.DISPUTE_UNKNOWN
    if theirs.money is not None and ours.money.currency != theirs.money.currency:
        return BreakKind.DISPUTE_MISMATCH
    if booked is None:
        return RowOutcome.WAITING if young else BreakKind.DISPUTE_MISMATCH
    agrees = theirs.money in (None, booked.money) and theirs.fee == booked.fee
    return RowOutcome.MATCHED if agrees else BreakKind.DISPUTE_MISMATCH


def judge_payout(ours: Money | None, theirs: Money) -> Outcome:
    """Judge a payout's balance transaction against the payout, where that was read too."""
    agrees = ours is None or abs(ours) == abs(theirs)
    return RowOutcome.MATCHED if agrees else BreakKind.PAYOUT_MISMATCH
