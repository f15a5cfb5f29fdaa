"""All endpoints below /merchants/<merchant>."""

from billing.sandbox.braintree import (
    addresses,
    changes,
    client_api,
    customers,
    disputes,
    line_items,
    methods,
    nonces,
    summaries,
    testing,
    transaction_search,
    transaction_view,
    transactions,
)
from billing.sandbox.braintree.routing import XmlRoute

ROUTES = (
    XmlRoute("POST", "transactions", transactions.create, keyed=True),
    XmlRoute(
        "POST",
        "transactions/advanced_search_ids",
        transaction_search.advanced_search_ids,
        reads=True,
    ),
    XmlRoute(
        "POST", "transactions/advanced_search", transaction_search.advanced_search, reads=True
    ),
    XmlRoute("GET", "transactions/*", transaction_view.find),
    XmlRoute("GET", "transactions/*/line_items", line_items.find_all),
    XmlRoute(
        "PUT",
        "transactions/*/submit_for_settlement",
        changes.submit_for_settlement,
        keyed=True,
    ),
    XmlRoute(
        "POST", "transactions/*/submit_for_partial_settlement", changes.submit_in_part, keyed=True
    ),
    XmlRoute("PUT", "transactions/*/void", changes.void, keyed=True),
    XmlRoute("POST", "transactions/*/refund", changes.refund, keyed=True),
    XmlRoute("POST", "transactions/*/reverse", changes.reverse, keyed=True),
    XmlRoute("PUT", "transactions/*/update_details", changes.update_details),
    *testing.ROUTES,
    *nonces.ROUTES,
    *methods.ROUTES,
    *customers.ROUTES,
    *addresses.ROUTES,
    *disputes.ROUTES,
    *summaries.ROUTES,
    *client_api.ROUTES,
)
