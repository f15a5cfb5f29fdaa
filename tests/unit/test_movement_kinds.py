"""Stripe's reporting categories as kinds of movements, and the migration that says the same."""

import re
from importlib import import_module

import pytest

from billing.gateway.stripe.categories import KINDS, movement_kind
from billing.rules.reconciliation import MovementKind


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        ("charge", MovementKind.CHARGE),
        ("refund", MovementKind.REFUND),
        ("partial_capture_reversal", MovementKind.CAPTURE_REVERSAL),
        ("refund_failure", MovementKind.REFUND_FAILURE),
        ("dispute", MovementKind.DISPUTE),
        ("dispute_reversal", MovementKind.DISPUTE_REVERSAL),
        ("payout", MovementKind.PAYOUT),
        ("payout_reversal", MovementKind.PAYOUT_FAILURE),
        ("fee", MovementKind.FEE),
        ("network_cost", MovementKind.FEE),
        ("tax", MovementKind.FEE),
        ("other_adjustment", MovementKind.ADJUSTMENT),
        ("risk_reserved_funds", MovementKind.RESERVE),
        ("payout_minimum_balance_hold", MovementKind.RESERVE),
        ("contribution", MovementKind.CONTRIBUTION),
        ("topup", MovementKind.OTHER),
    ],
)
def test_a_reporting_category_is_a_kind_of_movement(category: str, kind: MovementKind) -> None:
    assert movement_kind(category) is kind


def test_rows_of_before_that_wait_get_the_kinds_that_came_later() -> None:
    migrated = import_module("billing.migrations.versions.0034_movements_with_accounts").KIND
    later = {each for each, kind in KINDS.items() if kind in ("reserve", "contribution")}
    assert set(re.findall(r"'([a-z_]+)'", migrated)) == later | {"reserve", "contribution"}


def test_rows_of_before_get_the_kind_that_their_category_has_now() -> None:
    """Types never stood in them: they were written as the category of the same meaning."""
    migrated = import_module("billing.migrations.versions.0010_movement_kinds").KIND
    types = {"payment", "payment_refund", "payment_failure_refund", "stripe_fee"}
    types |= {"payout_cancel", "payout_failure"}
    # Later migrations give these kinds of their own.
    types |= {"partial_capture_reversal"}
    types |= {each for each, kind in KINDS.items() if kind in ("reserve", "contribution")}
    for category, kind in KINDS.items():
        assert (f"WHEN '{category}' THEN '{kind}'" in migrated) is (category not in types)
