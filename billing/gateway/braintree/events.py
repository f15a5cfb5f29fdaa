"""The kind of each of Braintree's notifications, and which object it is about."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from billing.gateway.kinds import EventKind

EVENT_KINDS: Final[Mapping[str, EventKind]] = MappingProxyType(
    {
        "transaction_settled": EventKind.PAYMENT_SUCCEEDED,
        "transaction_settlement_declined": EventKind.PAYMENT_FAILED,
        "refund_failed": EventKind.REFUND_UPDATED,
        "disbursement": EventKind.PAYOUT_PAID,
        "disbursement_exception": EventKind.PAYOUT_FAILED,
        "dispute_opened": EventKind.DISPUTE_OPENED,
        "dispute_disputed": EventKind.DISPUTE_UPDATED,
        "dispute_under_review": EventKind.DISPUTE_UPDATED,
        "dispute_accepted": EventKind.DISPUTE_CLOSED,
        "dispute_auto_accepted": EventKind.DISPUTE_CLOSED,
        "dispute_expired": EventKind.DISPUTE_CLOSED,
        "dispute_lost": EventKind.DISPUTE_CLOSED,
        "dispute_won": EventKind.DISPUTE_CLOSED,
        "payment_method_revoked_by_customer": EventKind.PAYMENT_METHOD_DETACHED,
        "payment_method_customer_data_updated": EventKind.PAYMENT_METHOD_UPDATED,
    }
)
"""Any other kind is `EventKind.OTHER`: kept, and not handled."""
_OF_REFUNDS: Final = frozenset({EventKind.PAYMENT_SUCCEEDED, EventKind.PAYMENT_FAILED})


def kind_of(written: str, *, about_refund: bool = False) -> EventKind:
    """Return the kind of a notification; those of transactions may be about a refund."""
    kind = EVENT_KINDS.get(written, EventKind.OTHER)
    return EventKind.REFUND_UPDATED if about_refund and kind in _OF_REFUNDS else kind
