"""What is taxed, where and at which rate: requests, the decisions on them, and whose ids are valid.

A decision is a value of its own, made before an invoice is priced and stored before it is used.
Pure: what a request needs of the database or of a provider is in it.
"""

from billing.tax.deciding import OUTSIDE_EU, Treatment, decide
from billing.tax.decisions import TaxDecision, read_response, response_text, table_decision
from billing.tax.requests import (
    Buyer,
    ReverseCharge,
    Seller,
    TaxedItem,
    TaxRequest,
    digest_of_request,
    request_at,
)
from billing.tax.undecided import Undecided, UndecidedReason

__all__ = [
    "OUTSIDE_EU",
    "Buyer",
    "ReverseCharge",
    "Seller",
    "TaxDecision",
    "TaxRequest",
    "TaxedItem",
    "Treatment",
    "Undecided",
    "UndecidedReason",
    "decide",
    "digest_of_request",
    "read_response",
    "request_at",
    "response_text",
    "table_decision",
]
