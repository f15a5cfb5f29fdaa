"""What an invoice's amounts are: a pure function of its facts.

The version of the rules stands in the facts. Rules that an invoice names are never edited.
"""

from billing.pricing.drafting import draft
from billing.pricing.drafts import (
    AppliedCredit,
    DraftDiscount,
    DraftLine,
    DraftTax,
    InvoiceDraft,
    NoteDraft,
    NoteLine,
    PriceDetail,
    RowKind,
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
from billing.pricing.prices import quantity_price, rate_usage

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
    "NoteDraft",
    "NoteLine",
    "PriceDetail",
    "RowKind",
    "Tax",
    "TierRow",
    "digest_of",
    "draft",
    "exact_text",
    "quantity_price",
    "rate_usage",
]
