"""Why a subscription or a payment was or wasn't charged: facts, from rows only.

Each fact is what a row says, with the ids to look further. Nothing is computed that the engine
itself would compute otherwise: boundaries come from `periods.nth`, versions from
`version_for_period`. `billing.presenters.explain` makes sentences of it.
"""

from billing.queries.explain.read import (
    Explanation,
    InvoiceExplained,
    PaymentExplained,
    SubscriptionExplained,
    explain_invoice,
    explain_payment,
    explain_subscription,
)

__all__ = [
    "Explanation",
    "InvoiceExplained",
    "PaymentExplained",
    "SubscriptionExplained",
    "explain_invoice",
    "explain_payment",
    "explain_subscription",
]
