"""The facts of an invoice: everything that its amounts follow from, as values and as one document.

The document is stored with the invoice. It is canonical: equal facts make the same text, and the
digest of the text says whether it was changed. It holds no names and no addresses of customers.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from billing.plans.items import ItemPrice, PriceModel, PriceTier
from billing.plans.numbers import exact_text
from billing.pricing.kinds import InvoiceKind, TaxRounding
from billing.pricing.usage import UsageClosing, closing_to, closings_from
from billing.rules.periods import Period

RULES: Final = 1
"""The version of the rules that new invoices are computed by."""

ORDERED: Final = "order"
"""What lines of invoices come from that somebody asked for, beside every catalog."""


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class FactsError(ValueError):
    """The document isn't one that these rules wrote."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One item to be charged: its price and quantity, and the share of a whole period it is for.

    What is invoiced for no period has none; of an invoice that somebody asked for, `source` is
    `ORDERED`, and `terms` is empty.

    `part` of `whole` civil days are charged. `source` names the terms, as "plan:CODE:DATE" or
    "addon:CODE:DATE", and `terms` is their digest. A once-item has no share. Of a metered one,
    whose quantity was used, only the minimum and the maximum have it. Where `before` units were
    charged before, the charge is what the quantity adds to their price. `days` are the first and
    the last civil day of the period, as they were when it was charged: rules of a zone change.
    `at_issue`: it is earned when it is invoiced, and not over its period. `closings` say which
    usage a metered charge bills.
    """

    item: str
    name: str
    price: ItemPrice
    quantity: Fraction
    period: Period | None
    source: str
    terms: str
    part: int = 1
    whole: int = 1
    once: bool = False
    metered: bool = False
    before: Fraction = Fraction(0)
    days: tuple[date, date] | None = None
    at_issue: bool = False
    closings: tuple[UsageClosing, ...] = ()

    @property
    def late(self) -> bool:
        """Whether it is for usage that came after the period was billed."""
        return any(closing.revision > 1 for closing in self.closings)


@dataclass(frozen=True, slots=True)
class Discount:
    """One redeemed coupon as it holds for this invoice, in order of use.

    Either `percent` of what is left of the lines, or `amount` minor units, which for a coupon whose
    rest is kept is what is left of it. `on` are item codes; None: all but once-items.
    """

    redemption: UUID
    coupon: str
    percent: Fraction | None = None
    amount: int | None = None
    on: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Tax:
    """One tax as it was decided: lines of the items `on` (None: all) bear `rate` percent.

    `included`: the prices contain it. `reason` says why, where the rate is zero. Where a provider
    computed it, `amounts` are what each line that bears it has of it, by the line's index; then
    nothing is computed here.
    """

    name: str
    rate: Fraction
    jurisdiction: str
    treatment: str = "standard"
    included: bool = False
    on: tuple[str, ...] | None = None
    reason: str = ""
    amounts: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """What one grant of credit holds for this invoice, in minor units, in order of use."""

    grant: UUID
    left: int


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one invoice. Amounts are minor units of `currency`.

    `step` is the smallest step that can be charged, `minimum` the least amount that a provider
    takes: less than that is waived where `waives`. `carried` is what earlier invoices, by rules
    before these, were too small to charge. `decision` is that of the taxes.
    """

    kind: InvoiceKind
    currency: str
    zone: str
    charges: tuple[Charge, ...] = ()
    discounts: tuple[Discount, ...] = ()
    taxes: tuple[Tax, ...] = ()
    credit: tuple[Credit, ...] = ()
    carried: int = 0
    step: int = 1
    minimum: int = 0
    waives: bool = True
    tax_rounding: TaxRounding = TaxRounding.GROUP
    decision: UUID | None = None
    rules: int = RULES
    _document: str | None = field(default=None, init=False, repr=False, compare=False)

    def document(self) -> str:
        """Return the canonical JSON of the facts; what has its default is left out."""
        if self._document is None:
            object.__setattr__(self, "_document", _ENCODER.encode(_facts_to(self)))
        assert self._document is not None, "it was just written"
        return self._document

    @classmethod
    def from_document(cls, document: str) -> "Facts":
        """Read a document back. Raises: FactsError, also for a key that isn't known."""
        try:
            facts = _facts_from(json.loads(document))
        except (KeyError, TypeError, ValueError) as error:
            raise FactsError(f"no facts of an invoice: {error}") from error
        if facts.document() != document:
            raise FactsError("the document isn't canonical, or has keys that aren't known")
        return facts


def digest_of(document: str) -> str:
    """Return the SHA-256 of a document, in hexadecimal digits."""
    return hashlib.sha256(document.encode("ascii")).hexdigest()


# --- values to JSON, and back -------------------------------------------------------------------


_Defaults = Mapping[str, Any]
_DEFAULTS_OF_FACTS: Final[_Defaults] = {
    "charges": [],
    "discounts": [],
    "taxes": [],
    "credit": [],
    "carried": 0,
    "step": 1,
} | {"minimum": 0, "waives": True, "tax_rounding": TaxRounding.GROUP, "decision": None}
_DEFAULTS_OF_CHARGES: Final[_Defaults] = {
    "quantity": "1",
    "share": [1, 1],
    "once": False,
    "metered": False,
    "before": "0",
} | {"days": None, "period": None, "at_issue": False, "closings": []}


def _facts_to(facts: Facts) -> dict[str, Any]:
    return _without_defaults(
        {
            "rules": facts.rules,
            "kind": facts.kind,
            "currency": facts.currency,
            "zone": facts.zone,
            "charges": [_charge_to(charge) for charge in facts.charges],
            "discounts": [_discount_to(each) for each in facts.discounts],
            "taxes": [tax_to_json(each) for each in facts.taxes],
            "credit": [[str(each.grant), each.left] for each in facts.credit],
            "carried": facts.carried,
            "step": facts.step,
            "minimum": facts.minimum,
            "waives": facts.waives,
            "tax_rounding": facts.tax_rounding,
            "decision": None if facts.decision is None else str(facts.decision),
        },
        _DEFAULTS_OF_FACTS,
    )


def _facts_from(data: Mapping[str, Any]) -> Facts:
    return Facts(
        kind=InvoiceKind(data["kind"]),
        currency=data["currency"],
        zone=data["zone"],
        charges=tuple(_charge_from(each) for each in data.get("charges", ())),
        discounts=tuple(_discount_from(each) for each in data.get("discounts", ())),
        taxes=tuple(tax_from_json(each) for each in data.get("taxes", ())),
        credit=tuple(Credit(UUID(grant), left) for grant, left in data.get("credit", ())),
        carried=data.get("carried", 0),
        step=data.get("step", 1),
        minimum=data.get("minimum", 0),
        waives=data.get("waives", True),
        tax_rounding=TaxRounding(data.get("tax_rounding", TaxRounding.GROUP)),
        decision=UUID(data["decision"]) if "decision" in data else None,
        rules=data["rules"],
    )


def _charge_to(charge: Charge) -> dict[str, Any]:
    return _without_defaults(
        {
            "item": charge.item,
            "name": charge.name,
            "price": _price_to(charge.price),
            "quantity": exact_text(charge.quantity),
            "period": _period_to(charge.period),
            "source": charge.source,
            "terms": charge.terms,
            "share": [charge.part, charge.whole],
            "once": charge.once,
            "metered": charge.metered,
            "before": exact_text(charge.before),
            "days": None if charge.days is None else [str(day) for day in charge.days],
            "at_issue": charge.at_issue,
            "closings": [closing_to(each) for each in charge.closings],
        },
        _DEFAULTS_OF_CHARGES,
    )


def _period_to(period: Period | None) -> list[str] | None:
    return None if period is None else [_instant_to(period.start), _instant_to(period.end)]


def _period_from(period: Sequence[str] | None) -> Period | None:
    if period is None:
        return None
    start, end = period
    return Period(_instant_from(start), _instant_from(end))


def _charge_from(data: Mapping[str, Any]) -> Charge:
    part, whole = data.get("share", (1, 1))
    return Charge(
        item=data["item"],
        name=data["name"],
        price=_price_from(data["price"]),
        quantity=Fraction(data.get("quantity", "1")),
        period=_period_from(data.get("period")),
        source=data["source"],
        terms=data["terms"],
        part=part,
        whole=whole,
        once=data.get("once", False),
        metered=data.get("metered", False),
        before=Fraction(data.get("before", "0")),
        days=_days_from(data.get("days")),
        at_issue=data.get("at_issue", False),
        closings=closings_from(data.get("closings", ())),
    )


def _days_from(days: Sequence[str] | None) -> tuple[date, date] | None:
    if days is None:
        return None
    first, last = map(date.fromisoformat, days)
    return first, last


@lru_cache(maxsize=4096)
def _price_to(price: ItemPrice) -> dict[str, Any]:
    return _without_defaults(
        {
            "model": price.model,
            "amount": exact_text(price.amount),
            "tiers": [[tier.up_to, exact_text(tier.unit), tier.flat] for tier in price.tiers],
            "size": price.size,
            "round": price.round,
            "included": exact_text(price.included),
            "minimum": price.minimum,
            "maximum": price.maximum,
        },
        {"amount": "0", "tiers": [], "size": None, "round": "up", "included": "0"}
        | {"minimum": None, "maximum": None},
    )


def _price_from(data: Mapping[str, Any]) -> ItemPrice:
    return ItemPrice(
        model=PriceModel(data["model"]),
        amount=Fraction(data.get("amount", "0")),
        tiers=tuple(
            PriceTier(up_to, Fraction(unit), flat) for up_to, unit, flat in data.get("tiers", ())
        ),
        size=data.get("size"),
        round=data.get("round", "up"),
        included=Fraction(data.get("included", "0")),
        minimum=data.get("minimum"),
        maximum=data.get("maximum"),
    )


def _discount_to(discount: Discount) -> dict[str, Any]:
    return _without_defaults(
        {
            "redemption": str(discount.redemption),
            "coupon": discount.coupon,
            "percent": None if discount.percent is None else exact_text(discount.percent),
            "amount": discount.amount,
            "on": None if discount.on is None else list(discount.on),
        },
        {"percent": None, "amount": None, "on": None},
    )


def _discount_from(data: Mapping[str, Any]) -> Discount:
    percent, on = data.get("percent"), data.get("on")
    return Discount(
        redemption=UUID(data["redemption"]),
        coupon=data["coupon"],
        percent=None if percent is None else Fraction(percent),
        amount=data.get("amount"),
        on=None if on is None else tuple(on),
    )


def tax_to_json(tax: Tax) -> dict[str, Any]:
    """Return a tax as JSON-able values; what has its default is left out."""
    return _without_defaults(
        {
            "name": tax.name,
            "rate": exact_text(tax.rate),
            "jurisdiction": tax.jurisdiction,
            "treatment": tax.treatment,
            "included": tax.included,
            "on": None if tax.on is None else list(tax.on),
            "reason": tax.reason,
            "amounts": None if tax.amounts is None else [list(each) for each in tax.amounts],
        },
        {"treatment": "standard", "included": False, "on": None, "reason": "", "amounts": None},
    )


def tax_from_json(data: Mapping[str, Any]) -> Tax:
    """Read a tax back. Raises: KeyError, ValueError."""
    on, amounts = data.get("on"), data.get("amounts")
    return Tax(
        name=data["name"],
        rate=Fraction(data["rate"]),
        jurisdiction=data["jurisdiction"],
        treatment=data.get("treatment", "standard"),
        included=data.get("included", False),
        on=None if on is None else tuple(on),
        reason=data.get("reason", ""),
        amounts=None if amounts is None else tuple((line, part) for line, part in amounts),
    )


def _without_defaults(data: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in data.items() if key not in defaults or value != defaults[key]
    }


@lru_cache(maxsize=4096)
def _instant_to(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _instant_from(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
