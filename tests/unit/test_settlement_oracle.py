"""How the rows of a settlement are judged, as tables: the specification of what SQL says."""

from decimal import Decimal  # noqa: TID251  exchange rates are no money
from typing import Any

import pytest

from billing.rules.money import Money
from billing.rules.payments import State
from billing.rules.reconciliation import BreakKind, RowOutcome
from tests.oracles.settlement import (
    ChargeRow,
    MoneyOut,
    Moved,
    Outcome,
    PaymentSide,
    judge_charge,
    judge_dispute,
    judge_payout,
    judge_refund,
    rate_fits,
)


def usd(amount: int) -> Money:
    return Money(amount, "USD")


def eur(amount: int) -> Money:
    return Money(amount, "EUR")


def ours(state: State = State.CAPTURED, **changes: Any) -> PaymentSide:
    facts: dict[str, Any] = {"money": usd(1999), "charge_id": "ch_1"}
    return PaymentSide(state, **(facts | changes))


def theirs(**changes: Any) -> ChargeRow:
    facts: dict[str, Any] = {
        "charge_id": "ch_1",
        "money": usd(1999),
        "settled": usd(1999),
        "fee": 88,
    }
    return ChargeRow(**(facts | changes))


EXCHANGED = {"settled": eur(1745), "rate": Decimal("0.8731")}

CHARGES: list[tuple[PaymentSide | None, ChargeRow, Outcome]] = [
    (None, theirs(), BreakKind.UNKNOWN_AT_PROVIDER),
    (ours(), theirs(), RowOutcome.MATCHED),
    (ours(State.SETTLED), theirs(), RowOutcome.MATCHED),
    (ours(State.REFUNDED), theirs(), RowOutcome.MATCHED),
    (ours(charge_id=None), theirs(), RowOutcome.MATCHED),
    (ours(), theirs(charge_id="ch_2"), BreakKind.DUPLICATE_CHARGE),
    (ours(taken=True), theirs(), BreakKind.DUPLICATE_CHARGE),
    (ours(), theirs(money=usd(2000), settled=usd(2000)), BreakKind.AMOUNT_MISMATCH),
    (ours(), theirs(money=eur(1999), settled=eur(1999)), BreakKind.CURRENCY_MISMATCH),
    (ours(), theirs(fee=-1), BreakKind.FEE_MISMATCH),
    (ours(), theirs(fee=2000), BreakKind.FEE_MISMATCH),
    (ours(), theirs(fee=1999), RowOutcome.MATCHED),
    (ours(), theirs(fee=0), RowOutcome.MATCHED),
    (ours(State.FAILED), theirs(fee=0), RowOutcome.CORRECT),
    (ours(), theirs(**EXCHANGED), RowOutcome.MATCHED),
    (ours(), theirs(settled=eur(1500), rate=Decimal("0.8731")), BreakKind.FX_MISMATCH),
    (ours(), theirs(settled=eur(1500)), RowOutcome.MATCHED),
    (ours(), theirs(settled=usd(1500)), BreakKind.FX_MISMATCH),
    (ours(State.FAILED), theirs(), RowOutcome.CORRECT),
    (ours(State.FAILED, charge_id=None), theirs(young=True), RowOutcome.CORRECT),
    (ours(State.FAILED, voided=True), theirs(), BreakKind.CAPTURED_AT_PROVIDER_ONLY),
    (ours(State.FAILED), theirs(money=usd(1), settled=usd(1)), BreakKind.AMOUNT_MISMATCH),
    (ours(State.CREATED, charge_id=None), theirs(young=True), RowOutcome.WAITING),
    (ours(State.CREATED, charge_id=None), theirs(), RowOutcome.CORRECT),
    (
        ours(State.CREATED, charge_id=None),
        theirs(young=True, money=usd(1), settled=usd(1)),
        RowOutcome.WAITING,
    ),
    (
        ours(State.CREATED, charge_id=None),
        theirs(money=usd(1), settled=usd(1)),
        BreakKind.AMOUNT_MISMATCH,
    ),
    (ours(State.AUTHORIZED), theirs(young=True), RowOutcome.WAITING),
    (ours(State.AUTHORIZED), theirs(), RowOutcome.CORRECT),
]


@pytest.mark.parametrize(("our_side", "their_side", "outcome"), CHARGES)
def test_a_charge_is_judged(
    our_side: PaymentSide | None, their_side: ChargeRow, outcome: Outcome
) -> None:
    assert judge_charge(our_side, their_side) is outcome


@pytest.mark.parametrize(
    ("shown", "settled", "rate", "fits"),
    [
        (usd(1999), eur(1745), "0.8731", True),
        (usd(1999), eur(1746), "0.8731", True),
        (usd(1999), eur(1748), "0.8731", False),
        (Money(1200, "JPY"), usd(812), "0.00676667", True),
        (Money(1200, "JPY"), usd(81200), "0.00676667", False),
        (usd(10_000_000), eur(8_731_500), "0.8731", True),
        (usd(10_000_000), eur(8_740_000), "0.8731", False),
    ],
)
def test_a_rate_fits_to_a_minor_unit_or_a_hundredth_of_a_percent(
    shown: Money, settled: Money, rate: str, fits: bool
) -> None:
    assert rate_fits(shown, settled, Decimal(rate)) is fits


REFUNDS = [
    (None, usd(500), {"young": True}, RowOutcome.WAITING),
    (None, usd(500), {}, BreakKind.REFUND_UNKNOWN),
    (MoneyOut(usd(500), "succeeded"), usd(500), {}, RowOutcome.MATCHED),
    (MoneyOut(usd(500), "pending"), usd(500), {}, RowOutcome.MATCHED),
    (MoneyOut(usd(500), "failed"), usd(500), {"returned": True}, RowOutcome.MATCHED),
    (MoneyOut(usd(500), "failed"), usd(500), {}, BreakKind.REFUND_MISMATCH),
    (MoneyOut(usd(500), "failed"), usd(500), {"young": True}, RowOutcome.WAITING),
    (MoneyOut(usd(500), "succeeded"), usd(499), {}, BreakKind.REFUND_MISMATCH),
    (MoneyOut(usd(500), "succeeded"), eur(500), {}, BreakKind.REFUND_MISMATCH),
    (MoneyOut(usd(500), "requested"), usd(500), {"young": True}, RowOutcome.WAITING),
    (MoneyOut(usd(500), "requested"), usd(500), {}, BreakKind.REFUND_MISMATCH),
    (MoneyOut(usd(500), "failed"), usd(500), {"failure": True}, RowOutcome.MATCHED),
    (MoneyOut(usd(500), "succeeded"), usd(500), {"failure": True}, BreakKind.REFUND_MISMATCH),
    (
        MoneyOut(usd(500), "succeeded"),
        usd(500),
        {"failure": True, "young": True},
        RowOutcome.WAITING,
    ),
]


@pytest.mark.parametrize(("our_side", "money", "more", "outcome"), REFUNDS)
def test_a_refund_is_judged(
    our_side: MoneyOut | None, money: Money, more: dict[str, bool], outcome: Outcome
) -> None:
    assert judge_refund(our_side, money, **more) is outcome


def test_a_movement_of_a_dispute_is_judged_by_what_the_books_have_of_it() -> None:
    dispute, told = MoneyOut(usd(1999)), Moved(usd(-1999), 1500)
    assert judge_dispute(None, told, young=True) is RowOutcome.WAITING
    assert judge_dispute(None, told) is BreakKind.DISPUTE_UNKNOWN
    assert judge_dispute(dispute, told, young=True) is RowOutcome.WAITING
    assert judge_dispute(dispute, told) is BreakKind.DISPUTE_MISMATCH
    assert judge_dispute(dispute, told, booked=told) is RowOutcome.MATCHED
    assert judge_dispute(dispute, Moved(usd(50)), booked=Moved(usd(50))) is RowOutcome.MATCHED
    for other in (usd(-1998), usd(1999), eur(-1999)):
        differs = Moved(other, 1500)
        assert judge_dispute(dispute, differs, booked=told) is BreakKind.DISPUTE_MISMATCH
    assert judge_dispute(dispute, Moved(usd(-1999)), booked=told) is BreakKind.DISPUTE_MISMATCH
    assert judge_dispute(dispute, Moved(None, 1500), booked=told) is RowOutcome.MATCHED


def test_a_payout_is_judged_by_its_amount() -> None:
    assert judge_payout(None, usd(-1999)) is RowOutcome.MATCHED
    assert judge_payout(usd(1999), usd(-1999)) is RowOutcome.MATCHED
    assert judge_payout(usd(1999), usd(-1998)) is BreakKind.PAYOUT_MISMATCH
