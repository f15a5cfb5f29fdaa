"""Published treatments of buyers by place and VAT id, decided by ours."""

from datetime import date
from fractions import Fraction
from typing import Final

from billing.plans.taxes import TaxRate
from billing.tax import Buyer, Seller, TaxedItem, decide, request_at
from tests.unit.pricing.published.figures import Found, Given

SINCE: Final = date(2014, 1, 1)
RATES: Final = tuple(
    TaxRate(country, "saas", "VAT", Fraction(percent), SINCE)
    for country, percent in (("FR", 20), ("IT", 22), ("DE", 19))
)
VAT_IDS: Final = {"FR": "FR40303265045", "IT": "IT00743110157", "DE": "DE136695976"}


def treated(given: Given) -> Found:
    """Return how a buyer is treated; a standard rate is that of a country."""
    country = given["country"]
    valid = given.get("vat_id_valid")
    buyer = Buyer(
        country,
        vat_id=None if valid is None else VAT_IDS.get(country),
        vat_confirmed=valid,
    )
    (tax,) = decide(
        request_at(
            "table",
            Seller(given["seller"]),
            buyer,
            [TaxedItem("base", "saas")],
            date(2026, 1, 1),
            RATES,
        )
    )
    where = f":{tax.jurisdiction}" if tax.treatment == "standard" else ""
    return {"treatment": f"{tax.treatment}{where}"}
