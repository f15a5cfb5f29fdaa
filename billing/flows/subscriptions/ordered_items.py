"""The items of an order: what a subscription holds from its start, and what a period costs."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from uuid import UUID

from billing.errors import BadInput, ErrorCode
from billing.flows.cycles import held_terms
from billing.plans.items import Item, ItemKind
from billing.plans.terms import PlanVersion
from billing.pricing import quantity_price
from billing.rules.texts import nearest
from billing.store.subscriptions.items import NewItem


def quantities(version: PlanVersion, quantity: int, asked: Mapping[str, int]) -> Mapping[str, int]:
    """Return how many units of each item of a version are held: as asked for, or its default.

    `quantity` is that of a plan with a single price. Raises: BadInput.
    """
    if not version.items:
        if asked:
            raise _unknown(next(iter(asked)), {})
        return {version.sold[0].code: quantity}
    if quantity != 1:
        raise BadInput(
            f"plan {version.plan} sells items, each with a quantity of its own",
            where="quantity",
            code=ErrorCode.ITEM_QUANTITY,
            items=tuple(item.code for item in _licensed(version)),
        )
    known = {item.code: item for item in _licensed(version)}
    for code in asked:
        if code not in known:
            raise _unknown(code, known)
    for code, item in known.items():
        check_quantity(item, asked.get(code))
    return {item.code: asked.get(item.code, _default(item)) for item in version.items}


def _licensed(version: PlanVersion) -> Iterator[Item]:
    return (item for item in version.items if item.quantity is not None)


def _default(item: Item) -> int:
    return 1 if item.quantity is None else item.quantity.default


def check_quantity(item: Item, asked: int | None) -> None:
    """Check the quantity of one licensed item; None is its default. Raises: BadInput."""
    assert item.quantity is not None, "it is licensed"
    if asked is not None and asked not in item.quantity:
        least, most = item.quantity.minimum, item.quantity.maximum
        raise BadInput(
            f"of item {item.code} a subscription has from {least:,} to {most:,}, not {asked:,}",
            where=f"items.{item.code}",
            code=ErrorCode.ITEM_QUANTITY_RANGE,
            item=item.code,
            minimum=least,
            maximum=most,
        )


def _unknown(code: str, known: Mapping[str, Item]) -> BadInput:
    return BadInput(
        f"the plan has no item {code!r} with a quantity.{nearest(code, known)}",
        where=f"items.{code}",
        code=ErrorCode.ITEM_UNKNOWN,
        item=code,
    )


def held_rows(
    subscription_id: UUID, version: PlanVersion, held: Mapping[str, int]
) -> list[NewItem]:
    """Return the rows of what is held: items with a quantity, and those that are charged once."""
    return [
        {
            "subscription_id": subscription_id,
            "item": item.code,
            "quantity": held[item.code],
            "addon": None,
            "addon_version": None,
        }
        for item in version.items
        if item.quantity is not None or item.kind is ItemKind.ONCE
    ]


def check(version: PlanVersion, asked: Mapping[str, int]) -> None:
    """Check quantities that are asked for by item. Raises: BadInput."""
    known = {item.code: item for item in version.sold if item.quantity is not None}
    for code, quantity in asked.items():
        if code not in known:
            raise _unknown(code, known)
        check_quantity(known[code], quantity)


def defaults(version: PlanVersion) -> Mapping[str, int]:
    """Return the default quantities of all items that a subscription has a quantity of."""
    return {item.code: _default(item) for item in version.sold if held_terms.has_quantity(item)}


def recurring_price(version: PlanVersion, currency: str, held: Mapping[str, int]) -> Fraction:
    """Return what the items cost in every whole period, exact, in minor units.

    Metered items aren't part of it. Raises: BadInput, where an item has no price.
    """
    recurring = tuple(
        item for item in version.sold if item.kind not in (ItemKind.ONCE, ItemKind.METERED)
    )
    all_held = {item.code: held.get(item.code, _default(item)) for item in recurring}
    return _price(recurring, currency, all_held)


def price_of(version: PlanVersion, currency: str, held: Mapping[str, int]) -> Fraction:
    """Return what all items cost in a whole period, exact, in minor units.

    What is charged once is part of it. Raises: BadInput, where an item has no price.
    """
    return _price(version.sold, currency, held)


def _price(sold: Iterable[Item], currency: str, held: Mapping[str, int]) -> Fraction:
    return sum((item_price(item, currency, held[item.code]) for item in sold), Fraction(0))


def item_price(item: Item, currency: str, quantity: int) -> Fraction:
    """Return what a quantity of an item costs in a whole period, exact, in minor units.

    Raises: BadInput, where it has no price.
    """
    price = item.price_in(currency)
    if price is None:
        raise BadInput(
            f"{item.code} has no price in {currency!r}",
            where="currency",
            code=ErrorCode.PRICE_MISSING,
            sold_in=tuple(sorted(item.currencies)),
        )
    amount = quantity_price(price, Fraction(quantity)).amount
    return max(amount, Fraction(price.minimum or 0))
