"""What a quantity of an item costs in a whole period: exact, with the rows that explain it."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Final

from billing.plans.items import ItemPrice, PriceModel, PriceTier
from billing.pricing.drafts import PriceDetail, RowKind, TierRow
from billing.pricing.facts import FactsError
from billing.rules.money import half_up

_ZERO: Final = Fraction(0)
_ONE: Final = Fraction(1)


@lru_cache(maxsize=4096)  # many subscriptions of a batch hold the same quantity at the same price
def quantity_price(price: ItemPrice, quantity: Fraction) -> PriceDetail:
    """Return what a quantity costs, without bounds; a flat price is the same for any quantity.

    Included units are taken off first. At a quantity of zero or below nothing else is charged, not
    even the flat part of a tier. Raises: FactsError, where no tier takes the quantity.
    """
    if price.model is PriceModel.FLAT:
        return PriceDetail(price.amount, ())
    if quantity <= 0:
        return PriceDetail(_ZERO, ())
    if price.model is PriceModel.UNIT and not price.included:
        return PriceDetail(price.amount * quantity, ())
    included = min(price.included, quantity)
    rows = [TierRow(included, _ZERO, 0, _ZERO, RowKind.INCLUDED)] if included else []
    if quantity > included:
        rows += _paid_rows(price, quantity - included)
    return PriceDetail(sum((row.amount for row in rows), _ZERO), tuple(rows))


def rate_usage(price: ItemPrice, used: Fraction, before: Fraction) -> PriceDetail:
    """Return what `used` units cost that come after `before` others: the difference of two prices.

    It is below zero where more units are cheaper, and where `used` is below zero.
    """
    after, until = quantity_price(price, before + used), quantity_price(price, before)
    return PriceDetail(after.amount - until.amount, _without(after.rows, until.rows))


def period_price(price: ItemPrice, quantity: Fraction, step: int) -> int:
    """Return what a quantity costs in a whole period, within its bounds, rounded half up to `step`.

    Raises: FactsError, where no tier takes the quantity.
    """
    detail = quantity_price(price, quantity)
    if price.maximum is not None:
        detail = at_most(price, detail, quantity, Fraction(price.maximum))
    amount = half_up(detail.amount.numerator, detail.amount.denominator, step)
    return amount if price.minimum is None else max(amount, half_up(price.minimum, 1, step))


def at_most(
    price: ItemPrice, detail: PriceDetail, quantity: Fraction, maximum: Fraction
) -> PriceDetail:
    """Return a price that is no higher than the maximum; a row tells what was taken off."""
    if detail.amount <= maximum:
        return detail
    rows = detail.rows or (_single_row(price, detail, quantity),)
    over = maximum - detail.amount
    return PriceDetail(maximum, (*rows, TierRow(_ONE, over, 0, over, RowKind.MAXIMUM)))


def _single_row(price: ItemPrice, detail: PriceDetail, quantity: Fraction) -> TierRow:
    counted = _ONE if price.model is PriceModel.FLAT else quantity
    return TierRow(counted, price.amount, 0, detail.amount)


def _paid_rows(price: ItemPrice, paid: Fraction) -> list[TierRow]:
    match price.model:
        case PriceModel.GRADUATED:
            return _graduated(price.tiers, paid)
        case PriceModel.VOLUME:
            tier = _tier_of(price.tiers, paid)
            return [_tier_row(tier, paid)]
        case PriceModel.PACKAGE:
            return [_packages(price, paid)]
        case PriceModel.UNIT | PriceModel.FLAT:
            return [TierRow(paid, price.amount, 0, price.amount * paid)]


def _graduated(tiers: Sequence[PriceTier], paid: Fraction) -> list[TierRow]:
    rows, below = [], 0
    last = _tier_of(tiers, paid)
    for tier in tiers:
        if tier is last or tier.up_to is None:
            break
        rows.append(_tier_row(tier, Fraction(tier.up_to - below)))
        below = tier.up_to
    return [*rows, _tier_row(last, paid - below)]


def _tier_of(tiers: Sequence[PriceTier], paid: Fraction) -> PriceTier:
    for tier in tiers:
        if tier.up_to is None or paid <= tier.up_to:
            return tier
    raise FactsError(f"no tier takes a quantity of {paid}: the last one has an end")


def _tier_row(tier: PriceTier, units: Fraction) -> TierRow:
    return TierRow(units, tier.unit, tier.flat, tier.unit * units + tier.flat)


def _packages(price: ItemPrice, paid: Fraction) -> TierRow:
    assert price.size is not None, "a price of packages has a size"
    whole, begun = divmod(paid, price.size)
    count = Fraction(whole + 1 if begun and price.round == "up" else whole)
    return TierRow(count, price.amount, 0, price.amount * count, RowKind.PACKAGES)


def _without(rows: Iterable[TierRow], others: Iterable[TierRow]) -> tuple[TierRow, ...]:
    """Return the rows less others, which are taken off those of the same kind and unit."""
    left: dict[tuple[RowKind, Fraction], TierRow] = {}
    for sign, each in ((1, rows), (-1, others)):
        for row in each:
            held = left.get((row.kind, row.unit), TierRow(_ZERO, row.unit, 0, _ZERO, row.kind))
            left[row.kind, row.unit] = TierRow(
                held.quantity + sign * row.quantity,
                row.unit,
                held.flat + sign * row.flat,
                held.amount + sign * row.amount,
                row.kind,
            )
    return tuple(row for row in left.values() if row.quantity or row.flat)
