"""Amounts between minor units and Braintree's decimal text, exact in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.gateway.braintree.amounts import (
    UnwritableAmount,
    converted,
    from_text,
    positive_to_text,
)
from billing.rules.money import Money


@pytest.mark.parametrize(
    ("money", "text"),
    [(Money(999, "USD"), "9.99"), (Money(1200, "JPY"), "1200"), (Money(5120, "KWD"), "5.120")],
)
def test_an_amount_is_written_in_major_units(money: Money, text: str) -> None:
    assert positive_to_text(money) == text
    assert from_text(text, money.currency) == money


@given(st.integers(1, 10**15), st.sampled_from(["USD", "JPY", "KWD"]))
def test_what_is_written_is_read_back(amount: int, currency: str) -> None:
    assert from_text(positive_to_text(Money(amount, currency)), currency).amount == amount


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_and_less_is_not_written(amount: int) -> None:
    with pytest.raises(UnwritableAmount, match="can't be moved"):
        positive_to_text(Money(amount, "USD"))


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [("10", "USD", 1000), ("10.0", "USD", 1000), ("1200.00", "JPY", 1200), ("-4.50", "EUR", -450)],
)
def test_zeros_behind_the_decimals_count_for_nothing(text: str, currency: str, amount: int) -> None:
    assert from_text(text, currency) == Money(amount, currency)


@pytest.mark.parametrize(
    ("text", "currency"),
    [("9.999", "USD"), ("1200.50", "JPY"), ("1e3", "USD"), ("", "USD"), ("nan", "USD")],
)
def test_what_is_no_whole_amount_is_refused(text: str, currency: str) -> None:
    with pytest.raises(UnwritableAmount):
        from_text(text, currency)


@pytest.mark.parametrize(
    ("money", "currency", "rate", "made"),
    [
        (Money(10000, "EUR"), "USD", "1.084", 10840),
        (Money(1200, "JPY"), "USD", "0.0067", 804),
        (Money(-1, "EUR"), "USD", "0.5", -1),
        (Money(1, "EUR"), "USD", "0.4999", 0),
    ],
)
def test_a_part_is_converted_at_a_rate_between_major_units(
    money: Money, currency: str, rate: str, made: int
) -> None:
    assert converted(money, currency, rate) == Money(made, currency)


def test_what_is_no_rate_is_refused() -> None:
    with pytest.raises(UnwritableAmount, match="no exchange rate"):
        converted(Money(1, "EUR"), "USD", "a lot")
