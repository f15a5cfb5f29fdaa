"""Judging both sides of a difference: pure rules, as tables."""

from decimal import Decimal  # noqa: TID251  exchange rates are no money
from typing import Any
from uuid import UUID

import pytest

from billing.presenters.break_causes import in_words
from billing.rules.money import Money
from billing.rules.reconciliation import (
    ACCEPTABLE,
    BreakCause,
    BreakFound,
    BreakKind,
    is_of_another,
    lacking,
    rate_makes,
    still_lacking,
    suggested_adjustment,
)


def usd(amount: int) -> Money:
    return Money(amount, "USD")


def eur(amount: int) -> Money:
    return Money(amount, "EUR")


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


@pytest.mark.parametrize("code", [*BreakKind, *BreakCause])
def test_every_kind_and_every_cause_is_told_in_a_sentence(code: BreakKind | BreakCause) -> None:
    assert len(in_words(str(code))) > 30


def test_a_cause_that_is_kept_as_a_sentence_is_shown_as_it_is() -> None:
    assert in_words("charged by hand, last year") == "charged by hand, last year"


def test_a_break_is_kept_once_for_its_kind_and_subject_whoever_finds_it() -> None:
    listed = BreakFound(kind=BreakKind.DUPLICATE_CHARGE, subject="ch_1", theirs={"amount": 1})
    settled = BreakFound(kind=BreakKind.DUPLICATE_CHARGE, subject="ch_1", transaction_id="txn_1")
    other = BreakFound(kind=BreakKind.AMOUNT_MISMATCH, subject="ch_1")
    assert listed.dedupe_key == settled.dedupe_key == "duplicate_charge:ch_1"
    assert other.dedupe_key != listed.dedupe_key
    assert listed.suggested_cause == "duplicate_charge"


# Accepting a break accepts its row: only a row of ours that shows another amount can be accepted.
MAY_BE_ACCEPTED = {
    BreakKind.AMOUNT_MISMATCH: True,
    BreakKind.CURRENCY_MISMATCH: False,
    BreakKind.FEE_MISMATCH: True,
    BreakKind.FX_MISMATCH: True,
    BreakKind.DUPLICATE_CHARGE: False,
    BreakKind.CAPTURED_AT_PROVIDER_ONLY: False,
    BreakKind.UNKNOWN_AT_PROVIDER: False,
    BreakKind.MISSING_AT_PROVIDER: False,
    BreakKind.REFUND_MISMATCH: True,
    BreakKind.REFUND_UNKNOWN: False,
    BreakKind.REFUND_MISSING: False,
    BreakKind.DISPUTE_MISMATCH: True,
    BreakKind.DISPUTE_UNKNOWN: False,
    BreakKind.PAYOUT_MISMATCH: True,
    BreakKind.REPORT_MISMATCH: False,
    BreakKind.BALANCE_MISMATCH: False,
    BreakKind.RECEIVABLE_OPEN: False,
    BreakKind.UNREADABLE_OBJECT: False,
}


@pytest.mark.parametrize("kind", BreakKind)
def test_a_break_is_accepted_only_where_a_row_of_ours_differs(kind: BreakKind) -> None:
    assert (kind in ACCEPTABLE) is MAY_BE_ACCEPTED[kind]


TAKEN = {"amount": 2500, "fee": 88, "net": 2412, "currency": "USD", "balance_transaction": "txn_1"}
# The balance is kept in euro, while the customer paid, or took back, dollars.
PAID_IN_DOLLARS = {
    "amount": 2180,
    "currency": "EUR",
    "customer_amount": 2500,
    "customer_currency": "USD",
}
WITHHELD = {
    "balance_transaction": "txn_1",
    "amount": -2180,
    "currency": "EUR",
    "customer_amount": -2500,
    "customer_currency": "USD",
}


@pytest.mark.parametrize(
    ("kind", "booked", "provider", "suggested"),
    [
        (BreakKind.AMOUNT_MISMATCH, [usd(1999)], TAKEN, usd(501)),
        (BreakKind.AMOUNT_MISMATCH, [usd(1999)], TAKEN | {"amount": 1999}, None),
        (BreakKind.AMOUNT_MISMATCH, [usd(1999)], {}, None),
        (BreakKind.AMOUNT_MISMATCH, [], TAKEN, usd(2500)),
        (BreakKind.AMOUNT_MISMATCH, [usd(1999)], PAID_IN_DOLLARS, usd(501)),
        (BreakKind.AMOUNT_MISMATCH, [], PAID_IN_DOLLARS, usd(2500)),
        (BreakKind.DISPUTE_MISMATCH, [usd(-1999)], WITHHELD, usd(-501)),
        (BreakKind.DISPUTE_MISMATCH, [usd(-2500)], WITHHELD, None),
        (BreakKind.DISPUTE_MISMATCH, [usd(-2500), eur(-1500)], WITHHELD | {"fee": 1500}, None),
        (BreakKind.DISPUTE_MISMATCH, [usd(-2500)], WITHHELD | {"fee": 1500}, eur(-1500)),
        (BreakKind.MISSING_AT_PROVIDER, [usd(1999)], {}, usd(-1999)),
        (BreakKind.MISSING_AT_PROVIDER, [], {}, None),
        (BreakKind.UNKNOWN_AT_PROVIDER, [], TAKEN, usd(2412)),
        (BreakKind.DUPLICATE_CHARGE, [], TAKEN, usd(2412)),
        (BreakKind.REFUND_UNKNOWN, [], {"net": -500, "currency": "USD"}, usd(-500)),
        (BreakKind.REFUND_UNKNOWN, [usd(-500)], {"net": -500, "currency": "USD"}, None),
        (
            BreakKind.REFUND_MISMATCH,
            [usd(-500)],
            {"amount": -499, "currency": "USD", "balance_transaction": "txn_1"},
            usd(1),
        ),
        (
            BreakKind.REFUND_MISMATCH,
            [usd(-500)],
            {"amount": -499, "fee": 30, "currency": "USD", "balance_transaction": "txn_1"},
            usd(1),
        ),
        (BreakKind.REFUND_MISMATCH, [usd(-500)], {"amount": 499, "currency": "USD"}, None),
        (BreakKind.REFUND_MISSING, [usd(-500)], {}, usd(500)),
        (BreakKind.FEE_MISMATCH, [usd(1999)], TAKEN, None),
        (
            BreakKind.BALANCE_MISMATCH,
            [],
            {"amount": 7, "unexplained": 5, "currency": "USD"},
            usd(5),
        ),
    ],
)
def test_an_adjustment_makes_the_books_say_what_the_balance_says(
    kind: BreakKind, booked: list[Money], provider: dict[str, Any], suggested: Money | None
) -> None:
    assert suggested_adjustment(kind, provider, booked) == suggested


IN_EURO = {"net": 1700, "currency": "EUR", "customer_amount": 4000, "customer_currency": "CAD"}


@pytest.mark.parametrize(
    ("booked", "provider", "lacks"),
    [
        ([usd(1999)], TAKEN, (usd(413),)),
        ([usd(1999)], IN_EURO, (eur(1700), usd(-1999))),
        ([], IN_EURO, (eur(1700),)),
        ([usd(1999)], {"amount": 4000, "currency": "CAD"}, ()),
    ],
)
def test_a_charge_in_another_currency_lacks_one_amount_in_each(
    booked: list[Money], provider: dict[str, Any], lacks: tuple[Money, ...]
) -> None:
    assert lacking(BreakKind.CURRENCY_MISMATCH, provider, booked) == lacks


def test_what_is_still_lacking_is_added_up_by_currency() -> None:
    assert still_lacking([eur(1700), usd(-1999)], eur(1700)) == (usd(-1999),)
    assert still_lacking([usd(5)], usd(7)) == (usd(-2),)
    assert still_lacking([usd(5)], eur(7)) == (usd(5), eur(-7))
    assert still_lacking([], None) == ()


OURS = UUID("018f0000-0000-7000-8000-0000000000e1")
THEIRS = UUID("018f0000-0000-7000-8000-0000000000e2")


@pytest.mark.parametrize(
    ("metadata", "others"),
    [
        ({}, False),
        ({"payment": str(OURS)}, False),
        ({"engine": str(OURS)}, False),
        ({"engine": str(THEIRS)}, True),
        ({"engine": ""}, True),
        ({"engine": "a shop of before"}, True),
    ],
)
def test_an_object_with_another_engines_mark_is_another_engines(
    metadata: dict[str, str], others: bool
) -> None:
    assert is_of_another(metadata, OURS) is others
