"""Judging a listed charge against our payment: every state, every sort of charge."""

from itertools import product

import pytest

from billing.rules.money import Money
from billing.rules.payments import State
from billing.rules.reconciliation import (
    BreakKind,
    Confirmed,
    Difference,
    NotYet,
    OurSide,
    ProviderSide,
    Verdict,
    compare,
)

OURS = Money(1999, "USD")

# What the list may show of a payment of 19.99 USD that we believe charge `ch_1` captured.
SAME = ProviderSide("ch_1", OURS)
MORE = ProviderSide("ch_1", Money(2000, "USD"))
LESS = ProviderSide("ch_1", Money(1998, "USD"))
SAME_NUMBER_OF_EURO = ProviderSide("ch_1", Money(1999, "EUR"))
MORE_EURO = ProviderSide("ch_1", Money(2000, "EUR"))
OTHER_CHARGE = ProviderSide("ch_2", OURS)
OTHER_CHARGE_AND_AMOUNT = ProviderSide("ch_2", Money(2000, "USD"))
OTHER_CHARGE_IN_EURO = ProviderSide("ch_2", Money(1999, "EUR"))

LISTED = [
    SAME, MORE, LESS, SAME_NUMBER_OF_EURO, MORE_EURO, OTHER_CHARGE, OTHER_CHARGE_AND_AMOUNT,
    OTHER_CHARGE_IN_EURO,
]  # fmt: skip

TAKEN = (State.CAPTURED, State.SETTLED, State.REFUNDED)
UNDECIDED = (State.CREATED, State.AUTHORIZED)

OF_A_KNOWN_CHARGE: list[tuple[ProviderSide, Verdict]] = [
    (SAME, Confirmed()),
    (MORE, Difference(BreakKind.AMOUNT_MISMATCH)),
    (LESS, Difference(BreakKind.AMOUNT_MISMATCH)),
    (SAME_NUMBER_OF_EURO, Difference(BreakKind.CURRENCY_MISMATCH)),
    (MORE_EURO, Difference(BreakKind.CURRENCY_MISMATCH)),
    (OTHER_CHARGE, Difference(BreakKind.DUPLICATE_CHARGE)),
    (OTHER_CHARGE_AND_AMOUNT, Difference(BreakKind.DUPLICATE_CHARGE)),
    (OTHER_CHARGE_IN_EURO, Difference(BreakKind.DUPLICATE_CHARGE)),
]
OF_AN_UNKNOWN_CHARGE: list[tuple[ProviderSide, Verdict]] = [
    (SAME, Confirmed()),
    (MORE, Difference(BreakKind.AMOUNT_MISMATCH)),
    (LESS, Difference(BreakKind.AMOUNT_MISMATCH)),
    (SAME_NUMBER_OF_EURO, Difference(BreakKind.CURRENCY_MISMATCH)),
    (MORE_EURO, Difference(BreakKind.CURRENCY_MISMATCH)),
    (OTHER_CHARGE, Confirmed()),
    (OTHER_CHARGE_AND_AMOUNT, Difference(BreakKind.AMOUNT_MISMATCH)),
    (OTHER_CHARGE_IN_EURO, Difference(BreakKind.CURRENCY_MISMATCH)),
]


def ours(state: State, charge_id: str | None) -> OurSide:
    return OurSide(state=state, money=OURS, charge_id=charge_id)


def test_the_tables_leave_no_state_and_no_charge_out() -> None:
    assert {*TAKEN, *UNDECIDED, State.FAILED} == set(State)
    assert [listed for listed, _ in OF_A_KNOWN_CHARGE] == LISTED
    assert [listed for listed, _ in OF_AN_UNKNOWN_CHARGE] == LISTED


@pytest.mark.parametrize("state", TAKEN)
@pytest.mark.parametrize(("listed", "verdict"), OF_A_KNOWN_CHARGE)
def test_money_that_we_took_is_confirmed_by_its_own_charge_in_full(
    state: State, listed: ProviderSide, verdict: Verdict
) -> None:
    assert compare(ours(state, "ch_1"), listed) == verdict


@pytest.mark.parametrize("state", TAKEN)
@pytest.mark.parametrize(("listed", "verdict"), OF_AN_UNKNOWN_CHARGE)
def test_a_capture_whose_charge_is_not_known_yet_is_no_duplicate(
    state: State, listed: ProviderSide, verdict: Verdict
) -> None:
    assert compare(ours(state, None), listed) == verdict


@pytest.mark.parametrize(
    ("state", "charge_id", "listed"), [*product(UNDECIDED, (None, "ch_1"), LISTED)]
)
def test_nothing_is_said_of_a_payment_that_is_not_decided(
    state: State, charge_id: str | None, listed: ProviderSide
) -> None:
    assert compare(ours(state, charge_id), listed) == NotYet()


@pytest.mark.parametrize(("charge_id", "listed"), [*product((None, "ch_1"), LISTED)])
def test_a_charge_of_a_payment_that_was_given_up_is_money_we_do_not_know_of(
    charge_id: str | None, listed: ProviderSide
) -> None:
    assert compare(ours(State.FAILED, charge_id), listed) == Difference(
        BreakKind.CAPTURED_AT_PROVIDER_ONLY
    )


@pytest.mark.parametrize("listed", LISTED)
def test_a_charge_without_a_payment_of_ours_is_unknown(listed: ProviderSide) -> None:
    assert compare(None, listed) == Difference(BreakKind.UNKNOWN_AT_PROVIDER)
