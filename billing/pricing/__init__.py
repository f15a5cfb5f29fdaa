"""What an invoice's amounts are: a pure function of its facts.

The version of the rules stands in the facts. Rules that an invoice names are never edited.
"""

from billing.pricing.changes import (
    ChangeLines,
    Charged,
    LineLeft,
    LineReturn,
    lines_of_change,
    share_left,
    still_held,
)
from billing.pricing.drafting import draft
from billing.pricing.drafts import (
    AppliedCredit,
    DraftDiscount,
    DraftLine,
    DraftTax,
    InvoiceDraft,
    NoteDraft,
    NoteLine,
    NoteTax,
    PriceDetail,
    RowKind,
    TierRow,
)
from billing.pricing.facts import (
    ORDERED,
    RULES,
    Charge,
    Credit,
    Discount,
    Facts,
    FactsError,
    Tax,
    digest_of,
    tax_from_json,
    tax_to_json,
)
from billing.pricing.grants import GrantedCredit, credit_at
from billing.pricing.kinds import InvoiceKind, TaxRounding
from billing.pricing.lines import price_difference
from billing.pricing.notes import (
    BadReturn,
    Noted,
    Return,
    credit_note,
)
from billing.pricing.prices import period_price, quantity_price, rate_usage
from billing.pricing.redemptions import Redeemed, discount_at, discounts_at
from billing.pricing.usage import UsageClosing, closing_to

__all__ = [
    "ORDERED",
    "RULES",
    "AppliedCredit",
    "BadReturn",
    "ChangeLines",
    "Charge",
    "Charged",
    "Credit",
    "Discount",
    "DraftDiscount",
    "DraftLine",
    "DraftTax",
    "Facts",
    "FactsError",
    "GrantedCredit",
    "InvoiceDraft",
    "InvoiceKind",
    "LineLeft",
    "LineReturn",
    "NoteDraft",
    "NoteLine",
    "NoteTax",
    "Noted",
    "PriceDetail",
    "Redeemed",
    "Return",
    "RowKind",
    "Tax",
    "TaxRounding",
    "TierRow",
    "UsageClosing",
    "closing_to",
    "credit_at",
    "credit_note",
    "digest_of",
    "discount_at",
    "discounts_at",
    "draft",
    "lines_of_change",
    "period_price",
    "price_difference",
    "quantity_price",
    "rate_usage",
    "share_left",
    "still_held",
    "tax_from_json",
    "tax_to_json",
]
