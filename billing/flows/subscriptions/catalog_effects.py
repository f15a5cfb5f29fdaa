"""How many subscriptions a version of a plan moves, and what they pay before and after."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from fractions import Fraction

from sqlalchemy import Connection

from billing.flows.subscriptions.catalog_changes import PriceEffect
from billing.plans.currencies import charge_step
from billing.plans.items import Item, ItemKind, ItemPrice
from billing.plans.terms import Plan, PlanVersion, version_for_period
from billing.pricing import period_price
from billing.rules.money import Money
from billing.store.subscriptions import plans
from billing.store.subscriptions.plans import LiveSubscriptions

UsedVersions = AbstractSet[tuple[str, date]]


def effects_of_move(
    conn: Connection,
    version: PlanVersion,
    plan: Plan,
    stored: Plan | None,
    unused: UsedVersions,
) -> tuple[PriceEffect, ...]:
    """Return what moves to a version: who will still be there, from what they pay until then.

    That is the price of an earlier move of the catalog, where there is one in between, unless the
    catalog takes that one out. What is charged once isn't counted.
    """
    if stored is None:
        return ()
    stays = [each for each in stored.versions if (plan.code, each.effective) not in unused]
    dated = {each.effective: each for each in (*stays, *plan.versions)}
    day_before = version.effective - timedelta(days=1)
    held = plans.held_quantities(conn, version.plan, version.effective)
    sums: dict[str, PriceEffect] = {}
    for group in plans.live_subscriptions(conn, version.plan, version.effective):
        currency = group.currency
        if group.plan_version >= version.effective or currency not in version.currencies:
            continue
        sold = tuple(each for each in dated.values() if currency in each.currencies)
        before = version_for_period(sold, group.plan_version, day_before)
        quantities = held.get((currency, group.plan_version), {})
        effect = PriceEffect(
            currency,
            group.subscriptions,
            Money(_sum(before, group, quantities), currency),
            Money(_sum(version, group, quantities), currency),
        )
        sums[currency] = _added(sums.get(currency), effect)
    return tuple(sums.values())


def _added(so_far: PriceEffect | None, effect: PriceEffect) -> PriceEffect:
    if so_far is None:
        return effect
    return PriceEffect(
        effect.currency,
        so_far.subscriptions + effect.subscriptions,
        so_far.before + effect.before,
        so_far.after + effect.after,
    )


def _sum(
    version: PlanVersion, group: LiveSubscriptions, held: Mapping[str, Mapping[int, int]]
) -> int:
    """Return what a group of subscriptions pays for a period by a version, in minor units."""
    if not version.items:
        return version.prices[group.currency] * group.quantity
    step = charge_step(group.currency)

    def cost(price: ItemPrice) -> Callable[[int], int]:
        return lambda quantity: period_price(price, Fraction(quantity), step)

    total = 0
    for item in _recurring(version.items):
        price = item.price_in(group.currency)
        assert price is not None, "all items of a version are sold in its currencies"
        total += _of_item(item, cost(price), group.subscriptions, held.get(item.code, {}))
    return total


def _recurring(items: Sequence[Item]) -> list[Item]:
    return [item for item in items if item.kind in (ItemKind.FLAT, ItemKind.LICENSED)]


def _of_item(
    item: Item, cost: Callable[[int], int], subscriptions: int, held: Mapping[int, int]
) -> int:
    """Return what an item costs: who doesn't hold a quantity of it has its default."""
    usual = 1 if item.quantity is None else item.quantity.default
    others = subscriptions - sum(held.values())
    return cost(usual) * others + sum(cost(quantity) * times for quantity, times in held.items())
