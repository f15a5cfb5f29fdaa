"""What Stripe's words about payments, refunds and payouts mean.

Those about disputes are in `test_stripe_objects`.
"""

import pytest

from billing.gateway.stripe.statuses import (
    payment_status,
    payout_status,
    refund_failure,
    refund_status,
)


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("requires_payment_method", "waiting"),
        ("requires_confirmation", "waiting"),
        ("requires_action", "needs_customer"),
        ("processing", "processing"),
        ("requires_capture", "authorized"),
        ("succeeded", "captured"),
        ("canceled", "canceled"),
        ("a word of tomorrow", "unknown"),
    ],
)
def test_a_status_of_a_payment_means(written: str, status: str) -> None:
    assert payment_status(written) == status


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("pending", "pending"),
        ("requires_action", "pending"),
        ("succeeded", "succeeded"),
        ("failed", "failed"),
        ("canceled", "canceled"),
        ("a word of tomorrow", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_status_of_a_refund_means(written: str | None, status: str) -> None:
    assert refund_status(written) == status


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("pending", "pending"),
        ("in_transit", "in_transit"),
        ("paid", "paid"),
        ("failed", "failed"),
        ("canceled", "canceled"),
        ("a word of tomorrow", "unknown"),
    ],
)
def test_a_status_of_a_payout_means(written: str, status: str) -> None:
    assert payout_status(written) == status


@pytest.mark.parametrize(
    ("written", "failure"),
    [
        ("lost_or_stolen_card", "payment_method_lost"),
        ("expired_or_canceled_card", "payment_method_closed"),
        ("charge_for_pending_refund_disputed", "charge_disputed"),
        ("insufficient_funds", "insufficient_funds"),
        ("declined", "declined"),
        ("merchant_request", "withdrawn"),
        ("a word of tomorrow", "unknown"),
        (None, None),
    ],
)
def test_the_reason_of_a_failed_refund_means(written: str | None, failure: str | None) -> None:
    assert refund_failure(written) == failure
