"""Computing taxes, as the sandbox plays it: each tax of each line rounded apart, half up."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

from billing.sandbox.errors import ApiError, Body, refused
from billing.sandbox.tax_rates import EU, NONTAXABLE, USUAL, Levied, taxes_of

_NOWHERE: Final = "00000"
_NEED_REGION: Final = frozenset({"US", "CA"})
_KINDS: Final = {"eu_vat": EU, "gb_vat": frozenset({"GB"})}
_UNSUPPORTED: Final = "KP"


def check_place(address: dict[str, Any]) -> None:
    """Refuse an address by which the customer can't be found. Raises: ApiError."""
    country, region = address.get("country"), address.get("state")
    postal_code = address.get("postal_code")
    lost = not country or len(country) != 2 or not country.isupper() or postal_code == _NOWHERE
    lost = lost or (country in _NEED_REGION and not region)
    if lost or (country == "US" and not postal_code):
        raise unknown_place()


def unknown_place() -> ApiError:
    """Return the error of an address by which nobody can be found."""
    return refused(
        "We could not determine the customer's tax location based on the provided customer"
        " address.",
        code="customer_tax_location_invalid",
        param="customer_details[address]",
    )


def breakdown(line: Body, details: Body, origin: str) -> list[Body]:
    """Return the taxes of a line: those of the customer's place, or why there is none."""
    address = details["address"]
    country, region = address["country"], address.get("state")
    code = line.get("tax_code") or USUAL
    levied = taxes_of(country, region)
    why = _untaxed(details, code, levied, origin)
    if why is not None:
        nothing = Levied(
            "country", country, "VAT" if country in EU else "Tax", "vat", "0", "0", "0"
        )
        first = next((each for each in levied if each.level == "country"), nothing)
        return [_entry(first, country, region, why, Fraction(0), 0, 0)]
    rates = [each.rate(code) for each in levied]
    amounts = _amounts(line, rates)
    taxable = line["amount"] - (sum(amounts) if line["tax_behavior"] == "inclusive" else 0)
    return [
        _entry(each, country, region, _rated(each, code), rate, taxable, amount)
        for each, rate, amount in zip(levied, rates, amounts, strict=True)
    ]


def _untaxed(details: Body, code: str, levied: Sequence[Levied], origin: str) -> str | None:
    country = details["address"]["country"]
    override = details.get("taxability_override", "none")
    if country == _UNSUPPORTED:
        return "not_supported"
    if override == "customer_exempt":
        return "customer_exempt"
    if not levied:
        return "not_collecting"
    if code == NONTAXABLE:
        return "product_exempt"
    kinds = {each["type"] for each in details.get("tax_ids", ())}
    business = any(country in _KINDS.get(kind, ()) for kind in kinds)
    if override == "reverse_charge" or (business and country != origin):
        return "reverse_charge"
    return None


def _rated(levied: Levied, code: str) -> str:
    if levied.rate(code) == 0:
        return "zero_rated"
    return "reduced_rated" if levied.is_reduced(code) else "standard_rated"


def _amounts(line: Body, rates: Sequence[Fraction]) -> list[int]:
    whole = 100 + (sum(rates) if line["tax_behavior"] == "inclusive" else 0)
    return [_half_up(line["amount"] * rate / whole) for rate in rates]


def _half_up(share: Fraction) -> int:
    return int(share + Fraction(1, 2))


def _entry(
    levied: Levied,
    country: str,
    region: str | None,
    why: str,
    rate: Fraction,
    taxable: int,
    amount: int,
) -> Body:
    return {
        "amount": amount,
        "jurisdiction": {
            "country": country,
            "display_name": levied.place,
            "level": levied.level,
            "state": None if levied.level == "country" else region,
        },
        "sourcing": "destination",
        "tax_rate_details": {
            "display_name": levied.name,
            "percentage_decimal": percentage(rate),
            "tax_type": levied.kind,
        },
        "taxability_reason": why,
        "taxable_amount": taxable,
    }


def percentage(rate: Fraction) -> str:
    """Return a rate of at most four decimals as text."""
    whole, rest = divmod(int(rate * 10_000), 10_000)
    return f"{whole}.{rest:04}".rstrip("0").rstrip(".")


def summed(lines: Sequence[Body]) -> list[Body]:
    """Return the taxes of a whole calculation, each rate of a place once."""
    found: dict[tuple[Any, ...], Body] = {}
    for line in lines:
        inclusive = line["tax_behavior"] == "inclusive"
        for each in line["tax_breakdown"]:
            place, rate = each["jurisdiction"], each["tax_rate_details"]
            key = (place["display_name"], rate["percentage_decimal"], each["taxability_reason"])
            entry = found.setdefault(
                (*key, inclusive),
                {
                    "amount": 0,
                    "inclusive": inclusive,
                    "tax_rate_details": {
                        "country": place["country"],
                        "flat_amount": None,
                        "percentage_decimal": rate["percentage_decimal"],
                        "rate_type": "percentage",
                        "state": place["state"],
                        "tax_type": rate["tax_type"],
                    },
                    "taxability_reason": each["taxability_reason"],
                    "taxable_amount": 0,
                },
            )
            entry["amount"] += each["amount"]
            entry["taxable_amount"] += each["taxable_amount"]
    return list(found.values())
