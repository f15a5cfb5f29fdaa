"""What an invoice's amounts are: a pure function of its facts.

The version of the rules stands in the facts. Rules that an invoice names are never edited.
"""

from billing.pricing.drafting import (
    AppliedCredit,
    DraftDiscount,
    DraftLine,
    DraftTax,
    InvoiceDraft,
    PriceDetail,
    TierRow,
)
from billing.pricing.facts import (
    RULES,
    Charge,
    Credit,
    Discount,
    Facts,
    FactsError,
    InvoiceKind,
    Tax,
    digest_of,
    exact_text,
)

__all__ = [
    "RULES",
    "AppliedCredit",
    "Charge",
    "Credit",
    "Discount",
    "DraftDiscount",
    "DraftLine",
    "DraftTax",
    "Facts",
    "FactsError",
    "InvoiceDraft",
    "InvoiceKind",
    "PriceDetail",
    "Tax",
    "TierRow",
    "digest_of",
    "exact_text",
]
