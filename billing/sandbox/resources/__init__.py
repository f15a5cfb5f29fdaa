"""The provider's objects: one file a resource, with its endpoints and its rendering.

`ACTIONS` are what the clock sets off later: they get the id they were put on the agenda with.
"""

from collections.abc import Callable

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.resources import (
    balance,
    balance_transactions,
    charges,
    customers,
    disputes,
    events,
    intent_view,
    mandates,
    payment_intents,
    payment_methods,
    payouts,
    refunds,
    report_runs,
    report_types,
    tax_calculations,
    tax_lines,
    tax_transactions,
    webhook_endpoints,
)
from billing.sandbox.routing import Route

KINDS: dict[str, ObjectKind] = {
    kind.name: kind
    for kind in (
        balance_transactions.KIND,
        charges.KIND,
        customers.KIND,
        disputes.KIND,
        events.KIND,
        intent_view.KIND,
        mandates.KIND,
        payment_methods.KIND,
        payouts.KIND,
        refunds.KIND,
        report_runs.KIND,
        tax_calculations.KIND,
        *tax_lines.KINDS,
        tax_transactions.KIND,
        webhook_endpoints.KIND,
    )
}

ACTIONS: dict[str, Callable[[Call, str], None]] = {
    **charges.ACTIONS,
    **disputes.ACTIONS,
    **mandates.ACTIONS,
    **payment_intents.ACTIONS,
    **payouts.ACTIONS,
    **refunds.ACTIONS,
}

ROUTES: tuple[Route, ...] = (
    *balance.ROUTES,
    *balance_transactions.ROUTES,
    *charges.ROUTES,
    *customers.ROUTES,
    *disputes.ROUTES,
    *events.ROUTES,
    *mandates.ROUTES,
    *payment_intents.ROUTES,
    *payment_methods.ROUTES,
    *payouts.ROUTES,
    *refunds.ROUTES,
    *report_runs.ROUTES,
    *report_types.ROUTES,
    *tax_calculations.ROUTES,
    *tax_transactions.ROUTES,
    *webhook_endpoints.ROUTES,
)
