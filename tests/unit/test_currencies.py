"""Amounts as text: exact both ways, or an error that says what to write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.gateway.stripe.amounts import from_stripe
from billing.plans.currencies import (
    BIGINT_MAX,
    AmountError,
    CurrencyError,
    book_currencies,
    charge_limit,
    charge_step,
    check_sold,
    digits,
    format_amount,
    known_currencies,
    parse_amount,
)
from billing.sandbox.currencies import SUPPORTED


@pytest.mark.parametrize(
    ("currency", "places"),
    [
        ("USD", 2), ("EUR", 2), ("GBP", 2), ("HUF", 2), ("TWD", 2),
        ("JPY", 0), ("KRW", 0), ("VND", 0), ("CLP", 0), ("ISK", 0), ("UGX", 0), ("XAF", 0),
        ("KWD", 3), ("BHD", 3), ("JOD", 3), ("OMR", 3), ("TND", 3),
        # ISO 4217 keeps these digits although cash is rounded
        ("ALL", 2), ("RSD", 2), ("LBP", 2), ("IQD", 3),
        # not sold any more, or never, but they stand in books
        ("ANG", 2), ("STD", 2), ("SLL", 2), ("MRO", 2), ("HRK", 2), ("CLF", 4), ("UYW", 4),
        ("UYI", 0), ("XDR", 2), ("XAD", 2), ("BYR", 0),
    ],
)  # fmt: skip
def test_digits_are_those_of_iso_4217(currency: str, places: int) -> None:
    assert digits(currency) == places


# https://docs.stripe.com/currencies: the provider's zero-decimal and three-decimal currencies
ZERO = {
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
    "XOF", "XPF",
}  # fmt: skip
THREE = {"BHD", "JOD", "KWD", "OMR", "TND"}


def test_digits_agree_with_the_provider() -> None:
    in_use = known_currencies()

    assert {code for code in in_use if digits(code) == 0} == ZERO | {"ISK", "UGX"}
    assert {code for code in in_use if digits(code) == 3} >= THREE


@pytest.mark.parametrize(
    ("currency", "hint"),
    [("usd", "'USD'"), ("Usd", "'USD'"), ("USB", "EUR"), ("XXX", ""), ("DEM", ""), ("", "")],
)
def test_an_unknown_currency_is_refused_with_a_hint(currency: str, hint: str) -> None:
    with pytest.raises(CurrencyError) as refused:
        digits(currency)

    assert hint in refused.value.remedy


@pytest.mark.parametrize("currency", ["ANG", "STD", "CLF", "XDR", "XXX", "usd", ""])
def test_what_may_stand_in_books_may_not_all_be_sold(currency: str) -> None:
    with pytest.raises(CurrencyError):
        check_sold(currency)


def test_what_is_sold_may_stand_in_books() -> None:
    assert known_currencies() < book_currencies()
    assert not {"XXX", "XTS", "DEM"} & book_currencies()


@pytest.mark.parametrize("currency", sorted(SUPPORTED))
def test_whatever_the_provider_takes_may_stand_in_books(currency: str) -> None:
    assert from_stripe(12_345 * 1000, currency).currency == currency.upper()


@pytest.mark.parametrize(
    ("currency", "what", "remedy"),
    [
        ("usd", "'usd' is not upper case", "write 'USD'"),
        (
            "DEM",
            "'DEM' is not the ISO 4217 code of a currency in use",
            "write a code like 'EUR'",
        ),
    ],
)
def test_a_refused_currency_says_why(currency: str, what: str, remedy: str) -> None:
    with pytest.raises(CurrencyError) as refused:
        digits(currency)

    assert (refused.value.what, refused.value.remedy) == (what, remedy)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("9.99", "USD", 999), ("9.9", "USD", 990), ("9", "USD", 900), ("0.05", "USD", 5),
        ("1200", "JPY", 1200), ("6.150", "KWD", 6150), ("0", "USD", 0), ("-5.00", "EUR", -500),
        ("92233720368547758.07", "USD", BIGINT_MAX),
    ],
)  # fmt: skip
def test_an_amount_is_read_exactly(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("9.999", "USD"), ("9.990", "USD"), ("1200.0", "JPY"), ("1.2345", "KWD"),
        ("9,99", "USD"), ("1,200", "JPY"), ("$9.99", "USD"), ("9.99 ", "USD"), ("+1", "USD"),
        ("", "USD"), (".99", "USD"), ("9.", "USD"), ("007", "USD"), ("1e3", "USD"),
        ("1_000", "JPY"), ("nan", "USD"), ("٩", "JPY"), ("9.99\n", "USD"), ("--1", "USD"),
        ("92233720368547758.08", "USD"), ("9" * 5000, "USD"),
    ],
)  # fmt: skip
def test_what_is_no_exact_amount_is_refused(text: str, currency: str) -> None:
    with pytest.raises(AmountError):
        parse_amount(text, currency)


@pytest.mark.parametrize(
    ("text", "currency", "what", "remedy"),
    [
        ("9.999", "USD", "'9.999' has 3 decimals, but USD has 2 decimals", "write it like '9.99'"),
        ("1.5", "JPY", "'1.5' has 1 decimal, but JPY has no decimals", "write it like '1200'"),
        ("nine", "KWD", "'nine' is not an amount", "write it like '9.990'"),
    ],
)
def test_a_refused_amount_says_how_it_is_written(
    text: str, currency: str, what: str, remedy: str
) -> None:
    with pytest.raises(AmountError) as refused:
        parse_amount(text, currency)

    assert (refused.value.what, refused.value.remedy) == (what, remedy)


@given(st.integers(-BIGINT_MAX, BIGINT_MAX), st.sampled_from(["USD", "JPY", "KWD"]))
def test_what_is_written_reads_back(amount: int, currency: str) -> None:
    assert parse_amount(format_amount(amount, currency), currency) == amount


def test_amounts_are_written_with_all_their_digits() -> None:
    assert format_amount(5, "USD") == "0.05"
    assert format_amount(-5, "KWD") == "-0.005"
    assert format_amount(1200, "JPY") == "1200"
    assert format_amount(0, "USD") == "0.00"
    assert format_amount(-1, "JPY") == "-1"


def test_what_the_provider_takes_is_known_per_currency() -> None:
    assert [charge_step(currency) for currency in ("USD", "JPY", "KWD")] == [1, 1, 10]
    assert charge_limit("USD") == 99_999_999
    assert charge_limit("UGX") == charge_limit("ISK") == 999_999
