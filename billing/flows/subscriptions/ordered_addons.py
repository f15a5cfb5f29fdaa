"""The add-ons of an order: which a subscription holds from its start, in which version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from uuid import UUID

from billing.errors import BadInput, ErrorCode
from billing.flows.subscriptions import ordered_items
from billing.plans.addons import Addon, AddonVersion
from billing.plans.terms import NoVersion, Plan, version_for_new
from billing.store.subscriptions.items import NewItem


@dataclass(frozen=True, slots=True)
class OrderedAddon:
    """An add-on in the version that is on sale, and how many units of it are held."""

    addon: Addon
    version: AddonVersion
    quantity: int


def split(
    asked: Mapping[str, int], plan: Plan, catalog: Mapping[str, Addon], on: date
) -> tuple[Mapping[str, int], list[OrderedAddon]]:
    """Return the quantities of a plan's own items, and the add-ons. Raises: BadInput.

    An add-on has the code of no item of a plan that it fits.
    """
    own = {item.code for version in plan.versions for item in version.sold}
    named = {code: catalog[code] for code in asked if code not in own and code in catalog}
    items = {code: quantity for code, quantity in asked.items() if code not in named}
    return items, [_ordered(addon, plan, asked[code], on) for code, addon in named.items()]


def _ordered(addon: Addon, plan: Plan, quantity: int, on: date) -> OrderedAddon:
    if plan.code not in addon.fits:
        raise BadInput(
            f"add-on {addon.code} doesn't fit plan {plan.code}",
            where=f"items.{addon.code}",
            code=ErrorCode.ADDON_DOES_NOT_FIT,
            addon=addon.code,
            fits=addon.fits,
        )
    if addon.retired is not None and on >= addon.retired:
        raise _not_on_sale(addon, on)
    try:
        version = version_for_new(addon.versions, on)
    except NoVersion as error:
        raise _not_on_sale(addon, on) from error
    if version.item.quantity is None and quantity != 1:
        raise BadInput(
            f"a subscription has add-on {addon.code} once, not {quantity} times",
            where=f"items.{addon.code}",
            code=ErrorCode.ITEM_QUANTITY_RANGE,
            item=addon.code,
            minimum=1,
            maximum=1,
        )
    if version.item.quantity is not None:
        ordered_items.check_quantity(version.item, quantity)
    return OrderedAddon(addon, version, quantity)


def _not_on_sale(addon: Addon, on: date) -> BadInput:
    return BadInput(
        f"add-on {addon.code} is not on sale on {on}",
        where=f"items.{addon.code}",
        code=ErrorCode.ADDON_NOT_ON_SALE,
        addon=addon.code,
    )


def price_of(ordered: list[OrderedAddon], currency: str) -> Fraction:
    """Return what add-ons cost in a whole period, exact. Raises: BadInput without a price."""
    prices = (
        ordered_items.item_price(each.version.item, currency, each.quantity) for each in ordered
    )
    return sum(prices, Fraction(0))


def held_rows(subscription_id: UUID, ordered: list[OrderedAddon]) -> list[NewItem]:
    """Return the rows of the add-ons that are held."""
    return [
        {
            "subscription_id": subscription_id,
            "item": each.addon.code,
            "quantity": each.quantity,
            "addon": each.addon.code,
            "addon_version": each.version.effective,
        }
        for each in ordered
    ]
