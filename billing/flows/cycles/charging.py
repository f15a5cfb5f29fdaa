"""The facts of a cycle's invoice: what its subscription holds, at the prices of its terms. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from functools import lru_cache

from billing.errors import BadInput, ErrorCode
from billing.flows.cycles.metered_periods import MeteredPeriod
from billing.flows.cycles.taxing import CustomerTaxes
from billing.flows.policy import Policy
from billing.plans.addons import Addon, AddonVersion
from billing.plans.currencies import charge_step
from billing.plans.items import BASE, Item, ItemKind, ItemPrice
from billing.plans.taxes import TaxTerms
from billing.plans.terms import Plan, PlanVersion, version_for_period
from billing.pricing import Charge, Credit, Discount, Facts, InvoiceKind
from billing.rules.item_changes import ItemChange
from billing.rules.periods import ScheduledPeriod, service_days
from billing.store.subscriptions.items import HeldItem
from billing.store.subscriptions.subscriptions import Subscription


class NoPrice(BadInput):
    """An item isn't sold in that currency."""

    code = ErrorCode.PRICE_MISSING


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a subscription holds when a period begins, beside its plan.

    `addons` are the published ones, by code, where any is held.
    `discounts` and `credit` are in the order in which they are used. `changes` are all of its
    changes of plan and quantities, in the order in which they were asked for. Without a `tax`
    nothing is taxed. `usage` are the periods whose usage the next invoice bills.
    """

    items: Sequence[HeldItem] = ()
    addons: Mapping[str, Addon] = field(default_factory=dict)
    changes: Sequence[ItemChange] = ()
    discounts: tuple[Discount, ...] = ()
    credit: tuple[Credit, ...] = ()
    tax: CustomerTaxes | None = None
    usage: Sequence[MeteredPeriod] = ()


NOTHING_HELD = Holdings()


def facts_of_cycle(
    subscription: Subscription,
    plan: Plan,
    version: PlanVersion,
    scheduled: ScheduledPeriod,
    policy: Policy,
    held: Holdings = NOTHING_HELD,
    usage: Sequence[tuple[Charge, TaxTerms]] = (),
) -> Facts:
    """Return the facts of the invoice of a regular period, with the usage of earlier ones.

    Raises: NoPrice, TaxUndecided.
    """
    charged = [*_charges(subscription, plan, version, scheduled, held, policy), *usage]
    charges = tuple(charge for charge, _ in charged)
    currency = subscription.currency
    reduced = bool(held.discounts or held.credit or usage) or scheduled.part != scheduled.whole
    facts = Facts(
        kind=InvoiceKind.CYCLE,
        currency=currency,
        zone=subscription.zone,
        charges=charges,
        discounts=held.discounts,
        credit=held.credit,
        carried=subscription.carried,
        step=charge_step(currency),
        minimum=policy.minimum_amounts.get(currency, 0),
        # Where the whole price of a period is too small, the price is wrong.
        waives=policy.below_minimum == "waive" and reduced,
    )
    if held.tax is None or costs_nothing(facts):
        return facts
    return held.tax.taxed(facts, [terms for _, terms in charged])


def terms_of_charges(
    subscription: Subscription,
    plan: Plan,
    version: PlanVersion,
    scheduled: ScheduledPeriod,
    policy: Policy,
    held: Holdings,
) -> Mapping[tuple[str, str], TaxTerms]:
    """Return how the charges of a period are taxed, by source and item. Raises: NoPrice."""
    charged = _charges(subscription, plan, version, scheduled, held, policy)
    return {(charge.source, charge.item): terms for charge, terms in charged}


def facts_of_usage(
    subscription: Subscription,
    usage: Sequence[tuple[Charge, TaxTerms]],
    policy: Policy,
    held: Holdings,
) -> Facts:
    """Return the facts of an invoice that bills nothing but usage, beside every cycle.

    Raises: TaxUndecided.
    """
    currency = subscription.currency
    facts = Facts(
        kind=InvoiceKind.FINAL,
        currency=currency,
        zone=subscription.zone,
        charges=tuple(charge for charge, _ in usage),
        discounts=held.discounts,
        credit=held.credit,
        carried=subscription.carried,
        step=charge_step(currency),
        minimum=policy.minimum_amounts.get(currency, 0),
    )
    if held.tax is None or costs_nothing(facts):
        return facts
    return held.tax.taxed(facts, [terms for _, terms in usage])


def costs_nothing(facts: Facts) -> bool:
    """Tell whether a period is free by its plan: no item has a price for what is held of it."""
    return not facts.carried and all(charge.price.is_free for charge in facts.charges)


def _charges(
    subscription: Subscription,
    plan: Plan,
    version: PlanVersion,
    scheduled: ScheduledPeriod,
    held: Holdings,
    policy: Policy,
) -> Iterator[tuple[Charge, TaxTerms]]:
    """Yield the charges of a plan's items in order, and how each is taxed."""
    at_issue = policy.recognise_once == "issue"
    days = service_days(scheduled.period, subscription.zone)
    by_code: Mapping[str, HeldItem] = {each.item: each for each in held.items}
    source = f"plan:{version.plan}:{version.effective}"
    for sold in priced_items(version, source, subscription.currency):
        quantity = _quantity(subscription, version, sold.item, by_code.get(sold.item.code))
        if quantity is not None:
            yield _charge(plan.name, sold, quantity, scheduled, days, at_issue), sold.tax
    for row in held.items:
        if row.addon is not None and row.addon_version is not None:
            addon = held.addons[row.addon]
            yield from _of_addon(subscription, addon, row, scheduled, days, at_issue)


def _of_addon(
    subscription: Subscription,
    addon: Addon,
    row: HeldItem,
    scheduled: ScheduledPeriod,
    days: tuple[date, date],
    at_issue: bool,
) -> Iterator[tuple[Charge, TaxTerms]]:
    """Yield the charge of an add-on, in the version that prices the period."""
    assert row.addon_version is not None, "an add-on is held in a version"
    version = version_for_period(addon.versions, row.addon_version, days[0], scheduled.period.start)
    source = f"addon:{addon.code}:{version.effective}"
    for sold in priced_items(version, source, subscription.currency):
        if row.quantity and row.billed_in is None and sold.item.meter is None:
            yield _charge(addon.name, sold, row.quantity, scheduled, days, at_issue), sold.tax


def _quantity(
    subscription: Subscription, version: PlanVersion, item: Item, held: HeldItem | None
) -> int | None:
    """Return how many units of an item of a plan are charged; None where it isn't charged.

    Who was moved to items from a single price has their quantity of `base`.
    """
    if item.kind is ItemKind.METERED:
        return None
    if item.kind is ItemKind.ONCE and (held is None or held.billed_in is not None):
        return None  # one that joined the plan later isn't charged to who was there before
    if not version.items and item.code == BASE:
        return subscription.quantity
    if held is not None:
        return held.quantity
    if item.code == BASE and item.quantity is not None:
        return subscription.quantity
    return 1 if item.quantity is None else item.quantity.default


def _charge(
    name: str,
    sold: "PricedItem",
    quantity: int,
    scheduled: ScheduledPeriod,
    days: tuple[date, date],
    at_issue: bool,
) -> Charge:
    """Return the charge of an item; `at_issue` says when what is charged once is earned."""
    item, once = sold.item, sold.item.once
    return Charge(
        item=item.code,
        name=item.name or (name if item.code == BASE or sold.is_addon else item.code),
        price=sold.price,
        quantity=Fraction(quantity),
        period=scheduled.period,
        source=sold.source,
        terms=sold.terms,
        part=1 if once else scheduled.part,
        whole=1 if once else scheduled.whole,
        once=once,
        days=None if once else days,
        at_issue=once and at_issue,
    )


@dataclass(frozen=True, slots=True)
class PricedItem:
    """An item of a version with its price in one currency, and what names its terms."""

    item: Item
    price: ItemPrice
    source: str
    terms: str
    tax: TaxTerms

    @property
    def is_addon(self) -> bool:
        """Whether an add-on sells it, whose name it has."""
        return self.source.startswith("addon:")


@lru_cache(maxsize=4096)
def priced_items(
    version: PlanVersion | AddonVersion, source: str, currency: str
) -> tuple[PricedItem, ...]:
    """Return what a version sells. Raises: NoPrice.

    Kept, because it is the same for all subscriptions of a batch.
    """
    terms, around = version.digest(), _tax_around(version)
    found = []
    for item in version.sold:
        price = item.price_in(currency)
        if price is None:
            raise NoPrice(
                f"{item.code} of {source} has no price in {currency}",
                item=item.code,
                sold_in=tuple(sorted(item.currencies)),
            )
        tax = (item.tax or TaxTerms()).within(around)
        found.append(PricedItem(item, price, source, terms, tax))
    return tuple(found)


def _tax_around(version: PlanVersion | AddonVersion) -> TaxTerms:
    """Return how a version's items are taxed that don't say so; an add-on's item says all."""
    tax = version.tax if isinstance(version, PlanVersion) else None
    return tax or TaxTerms()
