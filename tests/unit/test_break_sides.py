"""What a break is about, in the columns that its kind has."""

from typing import Any

import pytest

from billing.presenters.break_sides import SideLine, difference, lines
from billing.rules.reconciliation import BreakKind

USD = {"currency": "USD"}
CASES: dict[BreakKind, tuple[dict[str, Any], dict[str, Any], str]] = {
    BreakKind.AMOUNT_MISMATCH: (
        {"amount": 1998, **USD}, {"amount": 1999, **USD},
        "19.98 USD here, 19.99 USD there: +0.01 USD",
    ),
    BreakKind.CURRENCY_MISMATCH: (
        {"amount": 1999, **USD}, {"amount": 1999, "currency": "EUR"},
        "19.99 USD here, 19.99 EUR there",
    ),
    BreakKind.FEE_MISMATCH: (
        {"amount": 1999, **USD}, {"amount": 1999, "fee": -30, **USD},
        "a fee of -0.30 USD on 19.99 USD",
    ),
    BreakKind.FX_MISMATCH: (
        {"amount": 1999, **USD},
        {"amount": 1700, "currency": "EUR", "customer_amount": 1999, "customer_currency": "USD",
         "exchange_rate": "0.9"},
        "19.99 USD became 17.00 EUR at 0.9",
    ),
    BreakKind.UNKNOWN_AT_PROVIDER: ({}, {"amount": 700, **USD}, "7.00 USD, only there"),
    BreakKind.MISSING_AT_PROVIDER: (
        {"amount": 1999, **USD}, {"charge_listed": False}, "19.99 USD, only here",
    ),
    BreakKind.REFUND_MISMATCH: (
        {"amount": 300, **USD}, {"amount": 300, **USD}, "3.00 USD on both sides",
    ),
    BreakKind.DISPUTE_UNKNOWN: (
        {"amount": 1999, **USD}, {"amount": -1999, **USD}, "-19.99 USD, only there",
    ),
    BreakKind.BALANCE_MISMATCH: (
        {"amount": 100, **USD}, {"amount": 800, "unexplained": 700, **USD},
        "7.00 USD that nothing explains",
    ),
    BreakKind.UNREADABLE_OBJECT: ({}, {"problem": "no amount"}, "no amount"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_what_differs_follows_the_kind(kind: BreakKind) -> None:
    ours, theirs, told = CASES[kind]

    assert difference(kind, ours, theirs) == told


@pytest.mark.parametrize("kind", BreakKind)
def test_a_break_of_any_kind_is_told_of_whatever_its_sides_hold(kind: BreakKind) -> None:
    assert isinstance(difference(kind, {}, {}), str)
    assert isinstance(difference(kind, {"amount": None}, {"amount": 1, "currency": "XXX"}), str)


def test_both_sides_are_told_line_by_line_and_what_differs_is_marked() -> None:
    ours, theirs, _ = CASES[BreakKind.AMOUNT_MISMATCH]

    assert lines({**ours, "state": "CAPTURED"}, {**theirs, "unadjusted": [1]}) == [
        SideLine("amount", "19.98 USD", "19.99 USD", differs=True),
        SideLine("currency", "USD", "USD", differs=False),
        SideLine("state", "CAPTURED", "", differs=False),
    ]
