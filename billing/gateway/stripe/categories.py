"""Stripe's reporting categories, and the types it shows in their place, as kinds of movements.

https://docs.stripe.com/reports/reporting-categories
"""

from collections.abc import Mapping
from typing import Final

from billing.rules.reconciliation import MovementKind

KINDS: Final[Mapping[str, MovementKind]] = {
    "charge": MovementKind.CHARGE,
    "payment": MovementKind.CHARGE,
    "refund": MovementKind.REFUND,
    "payment_refund": MovementKind.REFUND,
    "partial_capture_reversal": MovementKind.CAPTURE_REVERSAL,
    "refund_failure": MovementKind.REFUND_FAILURE,
    "payment_failure_refund": MovementKind.REFUND_FAILURE,
    "dispute": MovementKind.DISPUTE,
    "dispute_reversal": MovementKind.DISPUTE_REVERSAL,
    "payout": MovementKind.PAYOUT,
    "payout_reversal": MovementKind.PAYOUT_FAILURE,
    "payout_cancel": MovementKind.PAYOUT_FAILURE,
    "payout_failure": MovementKind.PAYOUT_FAILURE,
    "fee": MovementKind.FEE,
    "stripe_fee": MovementKind.FEE,
    "network_cost": MovementKind.FEE,
    "tax": MovementKind.FEE,
    "risk_reserved_funds": MovementKind.RESERVE,
    "connect_reserved_funds": MovementKind.RESERVE,
    "reserved_funds": MovementKind.RESERVE,
    "reserve_transaction": MovementKind.RESERVE,
    "reserve_hold": MovementKind.RESERVE,
    "reserve_release": MovementKind.RESERVE,
    "payout_minimum_balance_hold": MovementKind.RESERVE,
    "payout_minimum_balance_release": MovementKind.RESERVE,
    "minimum_balance_hold": MovementKind.RESERVE,
    "minimum_balance_release": MovementKind.RESERVE,
    "contribution": MovementKind.CONTRIBUTION,
    "climate_order_purchase": MovementKind.CONTRIBUTION,
    "climate_order_refund": MovementKind.CONTRIBUTION,
    "currency_conversion": MovementKind.CONVERSION,
    "other_adjustment": MovementKind.ADJUSTMENT,
}


def movement_kind(category: str) -> MovementKind:
    """Return what sort of movement a category is; one that isn't in the table is another."""
    return KINDS.get(category, MovementKind.OTHER)
