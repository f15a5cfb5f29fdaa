"""Judging both sides of a difference: pure rules, as tables."""

from decimal import Decimal  # noqa: TID251  exchange rates are no money
from typing import Any

import pytest

from billing.money import Money
from billing.payments import State
from billing.reconciliation import (
    ACCEPTABLE,
    SUGGESTED_CAUSES,
    BreakKind,
    ChargeRow,
    MoneyOut,
    Outcome,
    PaymentSide,
    RowOutcome,
    judge_charge,
    judge_dispute,
    judge_payout,
    judge_refund,
    lacking,
    rate_fits,
    rate_makes,
    still_lacking,
    suggested_adjustment,
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


@pytest.mark.parametrize(
    ("sold", "bought", "rate", "made"),
    [
        (eur(10_000), usd(10_840), "1.084", True),
        (eur(10_000), usd(10_841), "1.084", True),
        (eur(10_000), usd(10_839), "1.084", True),
        (eur(10_000), usd(10_842), "1.084", False),
        (eur(10_000), usd(10_838), "1.084", False),
        (eur(10_000), usd(9_225), "1.084", False),
        (eur(100_000_000), usd(108_400_002), "1.084", False),
        (Money(1_200, "JPY"), usd(804), "0.0067", True),
        (Money(1_200, "JPY"), usd(804), "0.67", False),
        (usd(804), Money(1_200, "JPY"), "149.2537", True),
        (usd(100), Money(376, "KWD"), "0.376", True),
        (usd(1_000), Money(376, "KWD"), "0.376", False),
    ],
)
def test_a_rate_makes_an_amount_of_another_to_a_minor_unit(
    sold: Money, bought: Money, rate: str, made: bool
) -> None:
    assert rate_makes(sold, bought, Decimal(rate)) is made


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


def test_a_dispute_and_a_payout_are_judged_by_their_amount() -> None:
    assert judge_dispute(None, usd(1999), young=True) is RowOutcome.WAITING
    assert judge_dispute(None, usd(1999)) is BreakKind.DISPUTE_UNKNOWN
    assert judge_dispute(MoneyOut(usd(1999)), usd(1999)) is RowOutcome.MATCHED
    assert judge_dispute(MoneyOut(usd(1999)), usd(1)) is BreakKind.DISPUTE_MISMATCH
    assert judge_payout(None, usd(-1999)) is RowOutcome.MATCHED
    assert judge_payout(usd(1999), usd(-1999)) is RowOutcome.MATCHED
    assert judge_payout(usd(1999), usd(-1998)) is BreakKind.PAYOUT_MISMATCH


@pytest.mark.parametrize("kind", BreakKind)
def test_every_kind_has_a_suggested_cause(kind: BreakKind) -> None:
    assert len(SUGGESTED_CAUSES[kind]) > 20
    assert kind not in ACCEPTABLE or kind is not BreakKind.UNKNOWN_AT_PROVIDER


TAKEN = {"amount": 2500, "fee": 88, "net": 2412, "currency": "USD", "balance_transaction": "txn_1"}
BOOKED = {"amount": 1999, "currency": "USD"}


@pytest.mark.parametrize(
    ("kind", "mine", "provider", "suggested"),
    [
        (BreakKind.AMOUNT_MISMATCH, BOOKED, TAKEN, usd(501)),
        (BreakKind.AMOUNT_MISMATCH, BOOKED, TAKEN | {"amount": 1999}, None),
        (BreakKind.AMOUNT_MISMATCH, BOOKED, {}, None),
        (BreakKind.MISSING_AT_PROVIDER, BOOKED, {}, usd(-1999)),
        (BreakKind.UNKNOWN_AT_PROVIDER, {}, TAKEN, usd(2412)),
        (BreakKind.DUPLICATE_CHARGE, BOOKED, TAKEN, usd(2412)),
        (BreakKind.REFUND_UNKNOWN, {}, {"net": -500, "currency": "USD"}, usd(-500)),
        (
            BreakKind.REFUND_MISMATCH,
            {"amount": -500, "currency": "USD"},
            {"amount": -499, "currency": "USD", "balance_transaction": "txn_1"},
            usd(1),
        ),
        (BreakKind.REFUND_MISMATCH, BOOKED, {"amount": 499, "currency": "USD"}, None),
        (BreakKind.REFUND_MISSING, {"amount": -500, "currency": "USD"}, {}, usd(500)),
        (BreakKind.FEE_MISMATCH, BOOKED, TAKEN, None),
        (
            BreakKind.BALANCE_MISMATCH,
            BOOKED,
            {"amount": 7, "unexplained": 5, "currency": "USD"},
            usd(5),
        ),
    ],
)
def test_an_adjustment_makes_the_books_say_what_the_balance_says(
    kind: BreakKind, mine: dict[str, Any], provider: dict[str, Any], suggested: Money | None
) -> None:
    assert suggested_adjustment(kind, mine, provider) == suggested


IN_EURO = {"net": 1700, "currency": "EUR", "customer_amount": 4000, "customer_currency": "CAD"}


@pytest.mark.parametrize(
    ("mine", "provider", "lacks"),
    [
        (BOOKED | {"state": "CAPTURED"}, TAKEN, (usd(413),)),
        (BOOKED | {"state": "CAPTURED"}, IN_EURO, (eur(1700), usd(-1999))),
        (BOOKED | {"state": "FAILED"}, IN_EURO, (eur(1700),)),
        (BOOKED | {"state": "CAPTURED"}, {"amount": 4000, "currency": "CAD"}, ()),
    ],
)
def test_a_charge_in_another_currency_lacks_one_amount_in_each(
    mine: dict[str, Any], provider: dict[str, Any], lacks: tuple[Money, ...]
) -> None:
    assert lacking(BreakKind.CURRENCY_MISMATCH, mine, provider) == lacks


def test_what_is_still_lacking_is_added_up_by_currency() -> None:
    assert still_lacking([eur(1700), usd(-1999)], eur(1700)) == (usd(-1999),)
    assert still_lacking([usd(5)], usd(7)) == (usd(-2),)
    assert still_lacking([usd(5)], eur(7)) == (usd(5), eur(-7))
    assert still_lacking([], None) == ()
