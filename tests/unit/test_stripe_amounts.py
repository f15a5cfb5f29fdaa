"""Amounts against Stripe's own table (https://docs.stripe.com/currencies)."""

import pytest

from billing.gateway.stripe.amounts import (
    THREE_DECIMAL,
    ZERO_DECIMAL,
    InexpressibleAmount,
    from_stripe,
    rate_from_stripe,
    to_stripe,
)
from billing.rules.money import Money

BOTH_WAYS = [
    # currency, our minor units, Stripe's integer
    ("USD", 999, 999),
    ("EUR", 1, 1),
    ("JPY", 1200, 1200),
    ("KRW", 50, 50),
    ("MGA", 700, 700),
    ("XPF", 100, 100),
    ("ISK", 5, 500),
    ("UGX", 1234, 123400),
    ("BHD", 5120, 5120),
    ("KWD", 1000, 1000),
    ("HUF", 10045, 10045),
    ("TWD", 80045, 80045),
    ("RSD", 12345, 12345),
    ("USD", 0, 0),
    ("ISK", -5, -500),
]


@pytest.mark.parametrize(("currency", "ours", "theirs"), BOTH_WAYS)
def test_an_amount_goes_to_stripe_and_back(currency: str, ours: int, theirs: int) -> None:
    assert to_stripe(Money(ours, currency)) == theirs
    assert from_stripe(theirs, currency.lower()) == Money(ours, currency)


@pytest.mark.parametrize("currency", sorted(THREE_DECIMAL))
@pytest.mark.parametrize("last_digit", range(1, 10))
def test_a_third_decimal_that_is_not_zero_is_not_sent(currency: str, last_digit: int) -> None:
    with pytest.raises(InexpressibleAmount, match="third decimal"):
        to_stripe(Money(5120 + last_digit, currency))


@pytest.mark.parametrize("currency", ["isk", "ugx"])
def test_a_fraction_of_a_krona_is_not_rounded_away(currency: str) -> None:
    with pytest.raises(InexpressibleAmount, match="no whole amount"):
        from_stripe(550, currency)


@pytest.mark.parametrize("currency", sorted(ZERO_DECIMAL))
def test_a_zero_decimal_currency_is_sent_as_it_is_written(currency: str) -> None:
    assert to_stripe(Money(1200, currency)) == 1200


def test_an_unknown_currency_is_an_error() -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        from_stripe(100, "zzz")


@pytest.mark.parametrize(
    ("rate", "from_currency", "to_currency", "between_major_units"),
    [
        ("1.234", "EUR", "USD", "1.234"),
        ("0.67", "JPY", "USD", "0.0067"),
        ("1.4925373134328358208955", "USD", "JPY", "149.25373134328358208955"),
        ("0.325", "KWD", "USD", "3.25"),
        ("0.72", "ISK", "EUR", "0.72"),
    ],
)
def test_a_rate_between_integers_is_one_between_major_units(
    rate: str, from_currency: str, to_currency: str, between_major_units: str
) -> None:
    found = rate_from_stripe(rate, from_currency, to_currency)

    assert f"{found:f}" == between_major_units
