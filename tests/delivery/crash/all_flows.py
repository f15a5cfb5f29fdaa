"""Every flow: they register themselves, in the order of the page."""

from tests.delivery.crash import (
    flows,
    item_flows,
    operator_flows,
    provider_flows,
    two_account_flows,
)

__all__ = ["flows", "item_flows", "operator_flows", "provider_flows", "two_account_flows"]
