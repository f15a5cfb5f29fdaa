"""Stripe Tax's words: why a line bears a tax or none, why it refuses, and kinds of tax ids."""

from collections.abc import Mapping
from typing import Final

from billing.gateway.taxes import TaxRefusal
from billing.plans.countries import EU

NOT_SUPPORTED: Final = "not_supported"

TREATMENTS: Final[Mapping[str, str]] = {
    "standard_rated": "standard",
    "portion_standard_rated": "standard",
    "proportionally_rated": "standard",
    "taxable_basis_reduced": "standard",
    "reduced_rated": "reduced",
    "portion_reduced_rated": "reduced",
    "zero_rated": "zero",
    "customer_exempt": "exempt",
    "product_exempt": "exempt",
    "product_exempt_holiday": "exempt",
    "portion_product_exempt": "exempt",
    "not_subject_to_tax": "exempt",
    "reverse_charge": "reverse_charge",
    "not_collecting": "not_registered",
}
_LEVIED: Final = frozenset({"standard", "reduced"})
# Reasons that say no more than the treatment does.
_PLAIN: Final = frozenset({"standard_rated", "reduced_rated", "zero_rated"})

_REFUSALS: Final[Mapping[str, TaxRefusal]] = {
    "customer_tax_location_invalid": TaxRefusal.PLACE,
    "shipping_address_invalid": TaxRefusal.PLACE,
    "country_unsupported": TaxRefusal.NOT_SUPPORTED,
    "tax_id_invalid": TaxRefusal.VAT_ID,
    "stripe_tax_inactive": TaxRefusal.INACTIVE,
}
_OTHER_TAX_IDS: Final[Mapping[str, str]] = {
    "GB": "gb_vat",
    "CH": "ch_vat",
    "NO": "no_vat",
    "IS": "is_vat",
    "LI": "li_vat",
    "UA": "ua_vat",
}


def treatment_of(word: str, amount: int) -> str:
    """Return how a tax is treated; a word that isn't known is told by whether tax is levied.

    What bears tax is never treated as exempt, whatever the word is.
    """
    treatment = TREATMENTS.get(word, "exempt")
    return "standard" if amount and treatment not in _LEVIED else treatment


def reason_of(word: str) -> str:
    """Return the reason of a treatment, empty where there is no more to it."""
    return "" if word in _PLAIN else word


def refusal_of(code: str | None, param: str | None) -> TaxRefusal:
    """Return why a request was refused."""
    if code is not None and code in _REFUSALS:
        return _REFUSALS[code]
    if param is not None and param.startswith("customer_details[tax_ids]"):
        return TaxRefusal.VAT_ID
    if param is not None and param.startswith("customer_details[address]"):
        return TaxRefusal.PLACE
    if param == "reference":
        return TaxRefusal.KNOWN
    return TaxRefusal.EXPIRED if param == "calculation" else TaxRefusal.OTHER


def tax_id_type(vat_id: str) -> str:
    """Return the type of a tax id with its prefix."""
    prefix = vat_id[:2]
    if prefix in EU or prefix in ("EL", "XI"):
        return "eu_vat"
    return _OTHER_TAX_IDS.get(prefix, "unknown")
