"""The lines of charges: the share of a period, rounded once, and the bounds of an item's price."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from billing.plans.items import PriceModel
from billing.pricing.drafts import PriceDetail, TierRow
from billing.pricing.facts import Charge, FactsError
from billing.pricing.prices import at_most, quantity_price, rate_usage
from billing.rules.money import half_up
from billing.rules.periods import Period, service_days

CARRIED: Final = "carried"
"""The item of what an invoice of before was too small to charge."""

_ONE: Final = Fraction(1)
_WITH_UNIT_PRICE: Final = frozenset({PriceModel.FLAT, PriceModel.UNIT})


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line before discounts and taxes, in minor units."""

    item: str
    description: str
    period: Period | None
    part: int
    whole: int
    quantity: Fraction
    unit_price: Fraction | None
    gross: int
    charge: int | None
    once: bool = False
    rows: tuple[TierRow, ...] = ()
    at_issue: bool = False


def lines_of(charge: Charge, index: int, zone: str, step: int) -> tuple[PricedLine, ...]:
    """Return the line of a charge, and one for what the item's minimum is above it.

    `index` is that of the charge in the facts. Both are rounded half up to `step`. The minimum and
    the maximum of a stub are its share of those of a whole period. Of units that come after others
    (`before`), and of usage that came late, the minimum was charged before. Raises: FactsError, for
    a price that falls.
    """
    _check(charge)
    if charge.before or charge.late:
        gross, missing, rows = _further(charge, step)
    else:
        detail = _detail(charge, charge.quantity)
        gross, rows = _rounded(charge, detail, step), detail.rows
        missing = _least(charge, step) - gross
    description = _description(charge, zone)
    line = PricedLine(
        item=charge.item,
        description=description,
        period=charge.period,
        part=charge.part,
        whole=charge.whole,
        quantity=charge.quantity,
        unit_price=charge.price.amount if charge.price.model in _WITH_UNIT_PRICE else None,
        gross=gross,
        charge=index,
        once=charge.once,
        rows=rows,
        at_issue=charge.at_issue,
    )
    return (line, _up_to_minimum(line, missing)) if missing > 0 else (line,)


def carried_line(amount: int) -> PricedLine:
    """Return the line of what an invoice of before was too small to charge."""
    return PricedLine(
        item=CARRIED,
        description="Carried over from the invoice before",
        period=None,
        part=1,
        whole=1,
        quantity=_ONE,
        unit_price=Fraction(amount),
        gross=amount,
        charge=None,
    )


def bounded_price(charge: Charge, quantity: Fraction, step: int) -> int:
    """Return what a quantity costs for the charge's share, between its minimum and maximum.

    Minor units, rounded. Differences of these add up, whatever the steps between two quantities.
    """
    return max(_rounded(charge, _detail(charge, quantity), step), _least(charge, step))


def price_difference(charge: Charge, step: int) -> int:
    """Return what the quantity adds to the price of the units before, in minor units, rounded.

    It is below zero where more units cost less, or where fewer are counted than before.
    """
    until = charge.before + charge.quantity
    return bounded_price(charge, until, step) - bounded_price(charge, charge.before, step)


def _further(charge: Charge, step: int) -> tuple[int, int, tuple[TierRow, ...]]:
    gross = price_difference(charge, step)
    if gross < 0:
        raise FactsError(f"{charge.item}: more units cost less, which is no charge")
    return gross, 0, rate_usage(charge.price, charge.quantity, charge.before).rows


def _check(charge: Charge) -> None:
    if not 0 <= charge.part <= charge.whole or charge.whole < 1:
        raise FactsError(f"{charge.item}: {charge.part} of {charge.whole} is no share")
    if charge.before.numerator < 0:  # faster than to compare fractions
        raise FactsError(f"{charge.item}: {charge.before} units before is no quantity")
    if charge.quantity.numerator < 0 and charge.before + charge.quantity < 0:
        raise FactsError(f"{charge.item}: {charge.quantity} units are no quantity")


def _detail(charge: Charge, quantity: Fraction) -> PriceDetail:
    """Return the price of a whole period, at most the maximum.

    What was used is never prorated, so a stub's share is taken of its maximum alone.
    """
    price = charge.price
    detail = quantity_price(price, quantity)
    if price.maximum is None:
        return detail
    part, whole = _share(charge) if charge.metered else (1, 1)
    return at_most(price, detail, quantity, Fraction(price.maximum * part, whole))


def _rounded(charge: Charge, detail: PriceDetail, step: int) -> int:
    part, whole = (1, 1) if charge.metered else _share(charge)
    amount = detail.amount
    return half_up(amount.numerator * part, amount.denominator * whole, step)


def _least(charge: Charge, step: int) -> int:
    least = charge.price.minimum
    if least is None:
        return 0
    part, whole = _share(charge)
    return half_up(least * part, whole, step)


def _share(charge: Charge) -> tuple[int, int]:
    return (1, 1) if charge.once else (charge.part, charge.whole)


def _description(charge: Charge, zone: str) -> str:
    if charge.once or charge.period is None:
        return charge.name
    first, last = charge.days or service_days(charge.period, zone)
    part, whole = charge.part, charge.whole
    share = "" if part == whole else f" ({part} of {whole} days)"
    late = "late usage of " if charge.late else ""
    return f"{charge.name}, {late}{first} to {last}{share}"


def _up_to_minimum(line: PricedLine, missing: int) -> PricedLine:
    return PricedLine(
        item=line.item,
        description=f"{line.description}, up to the minimum",
        period=line.period,
        part=line.part,
        whole=line.whole,
        quantity=_ONE,
        unit_price=None,
        gross=missing,
        charge=line.charge,
        once=line.once,
        at_issue=line.at_issue,
    )
