"""Facts for tests: a month of 31 days, and charges that take what a test is about."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from billing.plans.items import ItemPrice, PriceModel, PriceTier
from billing.pricing import Charge, Discount, Facts, InvoiceKind
from billing.rules.periods import Period

JANUARY: Final = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))


def unit_price(amount: int | Fraction, **terms: Any) -> ItemPrice:
    return ItemPrice(PriceModel.UNIT, Fraction(amount), **terms)


def flat_price(amount: int | Fraction, **terms: Any) -> ItemPrice:
    return ItemPrice(PriceModel.FLAT, Fraction(amount), **terms)


def tiered(model: PriceModel, *tiers: tuple[int | None, int | Fraction, int]) -> ItemPrice:
    return ItemPrice(
        model, tiers=tuple(PriceTier(up_to, Fraction(unit), flat) for up_to, unit, flat in tiers)
    )


def charge(
    price: ItemPrice | int | Fraction,
    quantity: int | Fraction = 1,
    *,
    item: str = "base",
    share: tuple[int, int] = (1, 1),
    **terms: Any,
) -> Charge:
    if not isinstance(price, ItemPrice):
        price = flat_price(price)
    made = Charge(
        item=item,
        name=item.capitalize(),
        price=price,
        quantity=Fraction(quantity),
        period=JANUARY,
        source="plan:office:2027-01-01",
        terms="0" * 64,
        part=share[0],
        whole=share[1],
    )
    return replace(made, **terms)


def facts(*charges: Charge, currency: str = "USD", **terms: Any) -> Facts:
    return Facts(InvoiceKind.CYCLE, currency, "UTC", charges, **terms)


def percent_off(percent: int | str, on: Sequence[str] | None = None, n: int = 1) -> Discount:
    return Discount(
        UUID(int=n), f"code-{n}", percent=Fraction(percent), on=None if on is None else tuple(on)
    )


def amount_off(amount: int, on: Sequence[str] | None = None, n: int = 1) -> Discount:
    return Discount(UUID(int=n), f"code-{n}", amount=amount, on=None if on is None else tuple(on))


def as_redeemed_apart(discounts: Sequence[Discount]) -> list[Discount]:
    """Return discounts each of which has a redemption of its own."""
    return [
        replace(each, redemption=UUID(int=number)) for number, each in enumerate(discounts, start=1)
    ]


def figures(*values: object) -> tuple[object, ...]:
    """Return values to be compared with plain numbers."""
    return values
