"""Every flow: they register themselves, in the order of the page."""

from tests.delivery.crash import (
    credit_flows,
    flows,
    item_flows,
    note_flows,
    operator_flows,
    other_account_flows,
    other_event_flows,
    provider_flows,
    tax_flows,
    two_account_flows,
    usage_flows,
    usage_sent_flows,
)

__all__ = [
    "credit_flows",
    "flows",
    "item_flows",
    "note_flows",
    "operator_flows",
    "other_account_flows",
    "other_event_flows",
    "provider_flows",
    "tax_flows",
    "two_account_flows",
    "usage_flows",
    "usage_sent_flows",
]
