"""The provider's objects: one file a resource, with its endpoints and its rendering."""

from billing.sandbox.call import Kind
from billing.sandbox.resources import (
    balance,
    balance_transactions,
    charges,
    customers,
    events,
    intent_view,
    payment_intents,
    payment_methods,
    refunds,
)
from billing.sandbox.routing import Route

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        balance_transactions.KIND,
        charges.KIND,
        customers.KIND,
        events.KIND,
        intent_view.KIND,
        payment_methods.KIND,
        refunds.KIND,
    )
}

ROUTES: tuple[Route, ...] = (
    *balance.ROUTES,
    *balance_transactions.ROUTES,
    *charges.ROUTES,
    *customers.ROUTES,
    *events.ROUTES,
    *payment_intents.ROUTES,
    *payment_methods.ROUTES,
    *refunds.ROUTES,
)
