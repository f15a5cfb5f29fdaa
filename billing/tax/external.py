"""Taxes that a provider computes: what it is asked, and what it answers, as documents.

The request names the lines of one invoice with what each comes to after discounts; the answer has
the taxes of each line. Amounts are minor units of the request's currency.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, Final

from billing.plans.numbers import exact_text
from billing.pricing import Tax
from billing.tax.requests import Buyer

EXTERNAL: Final = "external"
"""What decisions on the answer of a provider name as their source."""


@dataclass(frozen=True, slots=True)
class LineToTax:
    """A line of an invoice: its number as `reference`, and what it comes to after discounts.

    `code` is the provider's code for its class of taxes; None is what the account has as its usual
    one. `included`: the amount contains the taxes.
    """

    reference: str
    item: str
    tax_class: str
    code: str | None
    amount: int
    included: bool = False


@dataclass(frozen=True, slots=True)
class ExternalRequest:
    """What the taxes of one invoice follow from at a provider's account."""

    account: str
    currency: str
    buyer: Buyer
    lines: tuple[LineToTax, ...]
    on: date

    def document(self) -> str:
        """Return the canonical JSON of the request; what has its default is left out."""
        return _canonical(
            {
                "provider": EXTERNAL,
                "account": self.account,
                "currency": self.currency,
                "buyer": _given(
                    {name: getattr(self.buyer, name) for name in Buyer.__dataclass_fields__}
                ),
                "lines": [
                    [each.reference, each.item, each.tax_class, each.code, each.amount]
                    + ([True] if each.included else [])
                    for each in self.lines
                ],
                "on": self.on.isoformat(),
            }
        )

    @classmethod
    def from_document(cls, document: str) -> "ExternalRequest":
        """Read a document back. Raises: ValueError, KeyError, TypeError."""
        data = json.loads(document)
        request = cls(
            account=data["account"],
            currency=data["currency"],
            buyer=Buyer(**data["buyer"]),
            lines=tuple(LineToTax(*each) for each in data["lines"]),
            on=date.fromisoformat(data["on"]),
        )
        if request.document() != document:
            raise ValueError("the document isn't canonical, or has keys that aren't known")
        return request


@dataclass(frozen=True, slots=True)
class LineTax:
    """One tax of a line: its place, how it is treated and why, its rate in percent, its amount.

    `taxable` is what of the line it is computed on.
    """

    name: str
    jurisdiction: str
    treatment: str
    rate: Fraction
    reason: str
    taxable: int
    amount: int


@dataclass(frozen=True, slots=True)
class LineTaxes:
    """The taxes of the line with this reference; `included`: its amount contains them."""

    reference: str
    included: bool
    taxes: tuple[LineTax, ...]


@dataclass(frozen=True, slots=True)
class ExternalAnswer:
    """The taxes of all lines, by a calculation that the provider keeps until `expires_at`."""

    calculation: str
    expires_at: datetime | None
    lines: tuple[LineTaxes, ...]

    def document(self) -> str:
        """Return the canonical JSON of the answer."""
        return _canonical(
            {
                "calculation": self.calculation,
                "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
                "lines": [
                    [each.reference, each.included, [_tax_to(tax) for tax in each.taxes]]
                    for each in self.lines
                ],
            }
        )

    @classmethod
    def from_document(cls, document: str) -> "ExternalAnswer":
        """Read a document back. Raises: ValueError, KeyError, TypeError."""
        data = json.loads(document)
        until = data["expires_at"]
        return cls(
            calculation=data["calculation"],
            expires_at=None if until is None else datetime.fromisoformat(until).astimezone(UTC),
            lines=tuple(
                LineTaxes(reference, included, tuple(_tax_from(tax) for tax in taxes))
                for reference, included, taxes in data["lines"]
            ),
        )


def taxes_of(answer: ExternalAnswer) -> tuple[Tax, ...]:
    """Return the taxes that an invoice bears by an answer, with what each line has of each.

    Taxes of one name, place, treatment, rate and reason are one.
    """
    found: dict[Tax, dict[int, int]] = {}
    for line in answer.lines:
        for tax in line.taxes:
            one = Tax(
                name=tax.name,
                rate=tax.rate,
                jurisdiction=tax.jurisdiction,
                treatment=tax.treatment,
                included=line.included,
                reason=tax.reason,
            )
            parts, index = found.setdefault(one, {}), int(line.reference) - 1
            parts[index] = parts.get(index, 0) + tax.amount
    return tuple(replace(tax, amounts=tuple(sorted(parts.items()))) for tax, parts in found.items())


def answers(answer: ExternalAnswer, request: ExternalRequest) -> bool:
    """Tell whether an answer is of the lines of a request."""
    asked = [(each.reference, each.included) for each in request.lines]
    return [(each.reference, each.included) for each in answer.lines] == asked


def is_external(document: str) -> bool:
    """Tell whether a request's document is of a provider. Raises: ValueError."""
    data = json.loads(document)
    return isinstance(data, Mapping) and data.get("provider") == EXTERNAL


def _tax_to(tax: LineTax) -> list[Any]:
    rate = exact_text(tax.rate)
    return [
        tax.name, tax.jurisdiction, tax.treatment, rate, tax.reason, tax.taxable, tax.amount,
    ]  # fmt: skip


def _tax_from(data: list[Any]) -> LineTax:
    name, jurisdiction, treatment, rate, reason, taxable, amount = data
    return LineTax(name, jurisdiction, treatment, Fraction(rate), reason, taxable, amount)


def _canonical(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
