"""What a subscription holds in a period: its rows, and the changes that hold by then."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from sqlalchemy import Connection

from billing.flows.cycles.charging import Holdings
from billing.plans.items import BASE, Item, ItemKind
from billing.plans.terms import Plan, PlanVersion
from billing.rules.item_changes import HeldTerms, held_at_start
from billing.store.subscriptions import items, plans, subscriptions
from billing.store.subscriptions.items import HeldItem
from billing.store.subscriptions.subscriptions import Subscription


def has_quantity(item: Item) -> bool:
    """Tell whether a subscription holds a quantity of an item, or whether it was charged."""
    return item.quantity is not None or item.kind is ItemKind.ONCE


def of_rows(
    subscription: Subscription, held: Sequence[HeldItem], version: PlanVersion
) -> HeldTerms:
    """Return what the rows of a subscription say that it holds, by the version it is in.

    Items of plans that it had before stay rows: what was charged once is never charged again.
    """
    quantities = {BASE: subscription.quantity}
    if version.items:
        sold = {item.code for item in version.sold}
        quantities = {each.item: each.quantity for each in held if each.item in sold}
    addons = {each.item: each.addon_version for each in held if each.quantity}
    versions = {item: dated for item, dated in addons.items() if dated is not None}
    quantities |= {each.item: each.quantity for each in held if each.item in versions}
    return HeldTerms(subscription.plan, subscription.plan_version, quantities, versions)


def ever_held(
    subscription: Subscription, held: Holdings, catalog: Mapping[str, Plan]
) -> list[Item]:
    """Return the items of every version of the plans and add-ons that a subscription ever held."""
    codes = {subscription.plan, *(each.plan for each in held.changes if each.plan is not None)}
    added = {row.addon for row in held.items if row.addon is not None}
    added |= {code for change in held.changes for code in change.addons}
    of_plans = [item for code in codes for each in catalog[code].versions for item in each.sold]
    return of_plans + [each.item for code in added for each in held.addons[code].versions]


def in_plan(
    subscription: Subscription, held: Holdings, start: datetime
) -> tuple[Subscription, HeldTerms | None]:
    """Return a subscription with the plan that it holds in a period that starts at an instant.

    With it comes all that is held, where anything was ever changed. A version that the
    subscription was moved to since is kept.
    """
    terms = held_at_start(held.changes, start)
    return (subscription, None) if terms is None else (with_plan(subscription, terms), terms)


def with_plan(subscription: Subscription, terms: HeldTerms) -> Subscription:
    """Return a subscription with the plan of terms, in the later of both versions of it."""
    version = terms.version_for(subscription.plan, subscription.plan_version)
    return replace(subscription, plan=terms.plan, plan_version=version)


def with_quantities(
    subscription: Subscription, held: Holdings, terms: HeldTerms, version: PlanVersion
) -> tuple[Subscription, Holdings]:
    """Return a subscription and its holdings with the quantities of terms."""
    known: Mapping[str, HeldItem] = {each.item: each for each in held.items}
    rows: list[HeldItem] = []
    for code, quantity in quantities(terms, version).items():
        row = known.get(code) or HeldItem(subscription.id, code, 0)
        addon = code if code in terms.addons else None
        dated = _later_of(terms.addons.get(code), row.addon_version)
        rows.append(replace(row, quantity=quantity, addon=addon, addon_version=dated))
    quantity = subscription.quantity
    if not version.items:
        quantity = terms.items.get(BASE, quantity)
    return replace(subscription, quantity=quantity), replace(held, items=tuple(rows))


def _later_of(asked: date | None, held: date | None) -> date | None:
    """Return the version of an add-on: one that it was moved to since is kept."""
    return asked if asked is None or held is None else max(asked, held)


def quantities(terms: HeldTerms, version: PlanVersion) -> Mapping[str, int]:
    """Return the quantities of terms that are of items of a version, or of add-ons."""
    of_plan = [item.code for item in version.sold if has_quantity(item)]
    return {code: terms.items[code] for code in (*of_plan, *terms.addons) if code in terms.items}


def hold(conn: Connection, subscription: Subscription, terms: HeldTerms) -> Subscription:
    """Write what a (locked) subscription holds from now on, and return it so."""
    held = with_plan(subscription, terms)
    plan = plans.published(conn)[held.plan]
    version = next(each for each in plan.versions if each.effective == held.plan_version)
    write(conn, held, terms, version)
    return held


def write(
    conn: Connection, subscription: Subscription, terms: HeldTerms, version: PlanVersion
) -> None:
    """Write what a (locked) subscription holds from now on."""
    held = quantities(terms, version)
    quantity = subscription.quantity if version.items else held.get(BASE, subscription.quantity)
    subscriptions.change(
        conn,
        subscription.id,
        plan=terms.plan,
        plan_version=version.effective,
        quantity=quantity,
    )
    if not version.items:
        held = {code: quantity for code, quantity in held.items() if code in terms.addons}
    items.hold(conn, subscription.id, held, terms.addons)
