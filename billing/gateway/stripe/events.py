"""The kind of each of Stripe's types of events."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from billing.gateway.kinds import EventKind

EVENT_KINDS: Final[Mapping[str, EventKind]] = MappingProxyType(
    {
        "payment_intent.succeeded": EventKind.PAYMENT_SUCCEEDED,
        "payment_intent.payment_failed": EventKind.PAYMENT_FAILED,
        "payment_intent.canceled": EventKind.PAYMENT_CANCELED,
        "payment_intent.amount_capturable_updated": EventKind.PAYMENT_AUTHORIZED,
        "charge.refunded": EventKind.CHARGE_REFUNDED,
        "refund.created": EventKind.REFUND_UPDATED,
        "refund.updated": EventKind.REFUND_UPDATED,
        "refund.failed": EventKind.REFUND_UPDATED,
        "charge.refund.updated": EventKind.REFUND_UPDATED,
        "charge.dispute.created": EventKind.DISPUTE_OPENED,
        "charge.dispute.updated": EventKind.DISPUTE_UPDATED,
        "charge.dispute.funds_withdrawn": EventKind.DISPUTE_UPDATED,
        "charge.dispute.funds_reinstated": EventKind.DISPUTE_UPDATED,
        "charge.dispute.closed": EventKind.DISPUTE_CLOSED,
        "payout.created": EventKind.PAYOUT_UPDATED,
        "payout.updated": EventKind.PAYOUT_UPDATED,
        "payout.reconciliation_completed": EventKind.PAYOUT_UPDATED,
        "payout.paid": EventKind.PAYOUT_PAID,
        "payout.failed": EventKind.PAYOUT_FAILED,
        "payout.canceled": EventKind.PAYOUT_FAILED,
        "payment_method.attached": EventKind.PAYMENT_METHOD_ATTACHED,
        "payment_method.updated": EventKind.PAYMENT_METHOD_UPDATED,
        "payment_method.automatically_updated": EventKind.PAYMENT_METHOD_UPDATED,
        "payment_method.detached": EventKind.PAYMENT_METHOD_DETACHED,
        "mandate.updated": EventKind.PAYMENT_METHOD_UPDATED,
        "customer.updated": EventKind.CUSTOMER_UPDATED,
    }
)
"""Any other type is `EventKind.OTHER`: kept, and not handled."""


def kind_of(event_type: str) -> EventKind:
    """Return the kind of an event by its type."""
    return EVENT_KINDS.get(event_type, EventKind.OTHER)
