"""Money: whole minor units, one currency, and nothing else can be expressed."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.currencies import CurrencyError
from billing.rules.money import (
    MAX_AMOUNT,
    AmountOutOfRange,
    CurrencyMismatch,
    Money,
    allocate,
    format_money,
    parse_money,
    prorate,
)

amounts = st.integers(-(10**12), 10**12)
ARITHMETIC = [operator.add, operator.sub]
ORDER = [operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("amount", [9.99, 1.0, True, "5", None, 5 + 0j])
def test_an_amount_is_an_int_and_nothing_like_one(amount: Any) -> None:
    with pytest.raises(TypeError):
        Money(amount, "USD")


@pytest.mark.parametrize("currency", ["usd", "US", "XYZ", ""])
def test_a_currency_is_a_known_one(currency: str) -> None:
    with pytest.raises(CurrencyError):
        Money(1, currency)


@pytest.mark.parametrize("does", [*ARITHMETIC, *ORDER])
def test_two_currencies_never_meet(does: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(CurrencyMismatch):
        does(usd(1), Money(1, "EUR"))


@pytest.mark.parametrize("does", [*ARITHMETIC, *ORDER])
@pytest.mark.parametrize("other", [1, 1.0, True, None])
def test_money_and_a_bare_number_never_meet(does: Callable[[Any, Any], Any], other: Any) -> None:
    with pytest.raises(TypeError):
        does(usd(1), other)
    with pytest.raises(TypeError):
        does(other, usd(1))


@pytest.mark.parametrize("times", [1.5, True, None, "2"])
def test_money_is_multiplied_by_an_int_only(times: Any) -> None:
    with pytest.raises(TypeError):
        usd(1) * times


def test_money_has_no_division_and_no_truth() -> None:
    with pytest.raises(TypeError):
        usd(10) / 2  # type: ignore[operator]
    with pytest.raises(TypeError):
        bool(usd(0))


def test_money_of_one_currency_is_added_negated_multiplied_and_compared() -> None:
    assert usd(1) + usd(2) == usd(3)
    assert usd(1) - usd(2) == usd(-1)
    assert -usd(1) == usd(-1)
    assert abs(usd(-1)) == usd(1)
    assert usd(7) * 3 == 3 * usd(7) == usd(21)
    assert usd(1) < usd(2) <= usd(2) < usd(3) > usd(1) >= usd(1)
    assert usd(1) != Money(1, "EUR")


@pytest.mark.parametrize(
    ("mine", "other", "less", "at_most", "more", "at_least"),
    [
        (1, 2, True, True, False, False),
        (2, 2, False, True, False, True),
        (3, 2, False, False, True, True),
    ],
)
def test_amounts_are_ordered_and_hashed_by_their_value(
    mine: int, other: int, less: bool, at_most: bool, more: bool, at_least: bool
) -> None:
    assert (usd(mine) < usd(other)) is less
    assert (usd(mine) <= usd(other)) is at_most
    assert (usd(mine) > usd(other)) is more
    assert (usd(mine) >= usd(other)) is at_least
    assert len({usd(1), usd(1), usd(2)}) == 2


def test_an_amount_that_the_ledger_can_not_hold_is_refused() -> None:
    assert usd(MAX_AMOUNT) - usd(MAX_AMOUNT) == usd(0)
    assert -usd(MAX_AMOUNT) == usd(-MAX_AMOUNT)
    with pytest.raises(AmountOutOfRange):
        usd(MAX_AMOUNT) + usd(1)
    with pytest.raises(AmountOutOfRange):
        usd(-MAX_AMOUNT) - usd(1)


def test_money_is_read_and_written_the_same_way() -> None:
    assert parse_money("9.99", "USD") == usd(999)
    assert format_money(usd(999)) == str(usd(999)) == "9.99 USD"
    assert format_money(Money(-1200, "JPY")) == "-1200 JPY"


@pytest.mark.parametrize(
    ("amount", "part", "whole", "expected"),
    [
        # killbill TestIntegration: 599.95 for Mar 2 to 31 of a period of 31 days
        (59995, 29, 31, 56124),
        # lago-api multiple_upgrade_spec: 1000 cents from the 5th of a month of 31 days
        (1000, 27, 31, 871),
        # polar test_service_prorations: 22 of 29 days, 166 of 366 days
        (10000, 22, 29, 7586), (30000, 22, 29, 22759), (100000, 166, 366, 45355),
        (300000, 166, 366, 136066),
        # half a minor unit goes away from zero, on either side of it
        (1, 1, 2, 1), (3, 1, 2, 2), (-1, 1, 2, -1), (-3, 1, 2, -2),
        (999, 0, 31, 0), (999, 31, 31, 999), (0, 5, 31, 0),
        (10**17, 1, 3, 33333333333333333),
    ],
)  # fmt: skip
def test_a_share_is_rounded_half_up(amount: int, part: int, whole: int, expected: int) -> None:
    assert prorate(usd(amount), part, whole) == usd(expected)


def test_a_share_can_be_rounded_to_what_is_chargeable() -> None:
    assert prorate(Money(6150, "KWD"), 17, 31, step=10) == Money(3370, "KWD")  # 3372.6
    assert prorate(Money(10, "KWD"), 1, 2, step=10) == Money(10, "KWD")


@pytest.mark.parametrize(("part", "whole"), [(-1, 31), (32, 31), (0, 0), (1, -1)])
def test_what_is_no_share_is_refused(part: int, whole: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        prorate(usd(1), part, whole)


def test_a_share_in_floats_is_refused() -> None:
    with pytest.raises(TypeError, match="two ints"):
        prorate(usd(1), 0.5, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="two ints"):
        prorate(usd(1), 1, 1.5)  # type: ignore[arg-type]


@given(amounts, st.integers(0, 400), st.integers(1, 400))
def test_a_credit_takes_back_exactly_what_was_charged(amount: int, part: int, whole: int) -> None:
    part = min(part, whole)

    assert prorate(usd(-amount), part, whole) == -prorate(usd(amount), part, whole)
    assert abs(prorate(usd(amount), part, whole).amount * whole - amount * part) * 2 <= whole


@given(amounts, st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any))
def test_the_parts_of_a_split_add_up(amount: int, weights: list[int]) -> None:
    parts = allocate(usd(amount), weights)

    assert sum(part.amount for part in parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.amount * sum(weights) - amount * weight) < sum(weights)


def test_what_is_left_over_goes_to_the_largest_remainder_then_to_the_first() -> None:
    assert allocate(usd(100), [1, 1, 1]) == [usd(34), usd(33), usd(33)]
    assert allocate(usd(-100), [1, 1, 1]) == [usd(-34), usd(-33), usd(-33)]
    assert allocate(usd(5), [1, 0, 2]) == [usd(2), usd(0), usd(3)]
    assert allocate(usd(10), [3, 7, 3]) == [usd(2), usd(6), usd(2)]  # 2.3, 5.4, 2.3


@pytest.mark.parametrize("weights", [[], [0, 0], [-1, 2], [1.0], [True]])
def test_weights_that_split_nothing_are_refused(weights: Any) -> None:
    with pytest.raises(ValueError, match="weights"):
        allocate(usd(1), weights)


def usd(amount: int) -> Money:
    return Money(amount, "USD")
