"""The line of a calculation, with each tax of it."""

from dataclasses import dataclass
from fractions import Fraction

from billing.gateway.stripe.amounts import from_stripe
from billing.gateway.stripe.fields import Json, expect, integer
from billing.gateway.stripe.tax_words import NOT_SUPPORTED, reason_of, treatment_of
from billing.gateway.untrusted import Malformed, mapping, required, text
from billing.tax.external import LineTax


@dataclass(frozen=True, slots=True)
class CalculatedLine:
    """A line with its taxes; `not_supported` is where no taxes are computed."""

    reference: str
    amount: int
    included: bool
    taxes: tuple[LineTax, ...]
    not_supported: str | None


def read_line(data: Json, currency: str) -> CalculatedLine:
    """Read a line of a calculation; its taxes have to add up. Raises: Malformed."""
    expect(data, "tax.calculation_line_item")
    details = data.get("tax_breakdown")
    if not isinstance(details, list):
        raise Malformed("a line has no breakdown of its taxes")
    taxes, elsewhere = [], None
    for each in map(mapping, details):
        if each.get("taxability_reason") == NOT_SUPPORTED:
            elsewhere = _jurisdiction(each)[0]
        taxes.append(_tax(each, currency))
    if sum(tax.amount for tax in taxes) != _minor(data, "amount_tax", currency):
        raise Malformed("the taxes of a line don't add up")
    return CalculatedLine(
        reference=required(data, "reference"),
        amount=_minor(data, "amount", currency),
        included=required(data, "tax_behavior") == "inclusive",
        taxes=tuple(taxes),
        not_supported=elsewhere,
    )


def _tax(data: Json, currency: str) -> LineTax:
    word, amount = required(data, "taxability_reason"), _minor(data, "amount", currency)
    where, part = _jurisdiction(data)
    rate = mapping(data.get("tax_rate_details"))
    name = text(rate, "display_name") or "Tax"
    return LineTax(
        name=f"{name}, {part}" if part else name,
        jurisdiction=where,
        treatment=treatment_of(word, amount),
        rate=_percentage(rate),
        reason=reason_of(word),
        taxable=_minor(data, "taxable_amount", currency),
        amount=amount,
    )


def _jurisdiction(data: Json) -> tuple[str, str | None]:
    """Return country and region, and the name of a smaller place within them."""
    found = mapping(data.get("jurisdiction"))
    country, state, level = required(found, "country"), text(found, "state"), text(found, "level")
    if level == "country" or state is None:
        return country, None
    part = None if level == "state" else text(found, "display_name")
    return f"{country}-{state}", part


def _percentage(rate: Json) -> Fraction:
    try:
        found = Fraction(str(rate.get("percentage_decimal") or "0"))
    except (ValueError, ZeroDivisionError) as error:
        raise Malformed("a rate is no number") from error
    if found < 0:
        raise Malformed("a rate is below zero")
    return found


def _minor(data: Json, name: str, currency: str) -> int:
    amount = integer(data, name)
    if amount < 0:
        raise Malformed(f"{name} is below zero")
    try:
        return from_stripe(amount, currency).amount
    except ValueError as error:
        raise Malformed(str(error)) from error
