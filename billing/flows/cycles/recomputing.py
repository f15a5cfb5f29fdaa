"""Computing invoices again from their facts, and comparing the facts with where they come from."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles import comparing_items
from billing.flows.cycles.arrears import price_in
from billing.flows.cycles.recomputing_taxes import (
    against_decision,
    computed_taxes,
    of_decisions,
    stored_taxes,
)
from billing.plans.addons import AddonVersion
from billing.plans.items import BASE, Item, ItemKind, ItemPrice
from billing.plans.numbers import exact_text
from billing.plans.terms import Plan, PlanVersion
from billing.pricing import (
    ORDERED,
    Charge,
    DraftLine,
    Facts,
    InvoiceDraft,
    InvoiceKind,
    closing_to,
    draft,
)
from billing.rules.item_changes import ItemChange
from billing.rules.money import AmountOutOfRange
from billing.rules.periods import Period
from billing.rules.promises import Finding, FindingKind
from billing.rules.subscriptions import CycleKind
from billing.store.promises import invoiced
from billing.store.promises.invoiced import FreeCycle, Invoiced, InvoicedLine
from billing.store.subscriptions import addons, plans

_ROWS_A_FETCH = 2_000
WITHOUT_SUBSCRIPTION = (InvoiceKind.ONE_OFF, InvoiceKind.TOP_UP)


def differing(conn: Connection, changes: Mapping[UUID, Sequence[ItemChange]]) -> Iterator[Finding]:
    """Yield what differs between invoices, their facts and the terms these name."""
    unreadable = [("plan", *each) for each in plans.VERSIONS.unreadable(conn)]
    unreadable += [("add-on", *each) for each in addons.VERSIONS.unreadable(conn)]
    for kind, code, effective, error in unreadable:
        named = {"kind": kind, "code": code, "version": effective, "error": error}
        yield Finding(FindingKind.TERMS_UNREADABLE, named)
    if unreadable:
        return  # nothing can be compared with them
    catalog = plans.published(conn)
    versions: dict[str, PlanVersion | AddonVersion] = {
        f"plan:{plan.code}:{version.effective}": version
        for plan in catalog.values()
        for version in plan.versions
    }
    versions |= {
        f"addon:{addon.code}:{version.effective}": version
        for addon in addons.published(conn).values()
        for version in addon.versions
    }
    yield from of_decisions(conn)
    broken = comparing_items.unreadable(changes)
    yield from broken.values()
    changes = {owner: asked for owner, asked in changes.items() if owner not in broken}
    for row in invoiced.with_facts(conn, _ROWS_A_FETCH):
        yield from _of_invoice(comparing_items.held_then(row, changes), versions)
    yield from comparing_items.of_rows(conn, catalog, changes)
    for number in invoiced.that_lost_facts(conn):
        facts = {"number": number, "error": "there are none, and its lines have prices of items"}
        yield Finding(FindingKind.FACTS_UNREADABLE, facts)
    for cycle in invoiced.free_cycles(conn):
        yield from _of_free(cycle, catalog)


def _of_invoice(
    row: Invoiced, versions: Mapping[str, PlanVersion | AddonVersion]
) -> Iterator[Finding]:
    named = {"number": row.number}
    try:
        facts = Facts.from_document(row.facts)
        drafted = draft(facts)
    except (ValueError, ArithmeticError, LookupError, AmountOutOfRange) as error:
        yield Finding(FindingKind.FACTS_UNREADABLE, {**named, "error": str(error)})
        return
    for what, stored, computed in _differences(row, facts, drafted):
        told = {"what": what, "stored": stored, "computed": computed}
        yield Finding(FindingKind.INVOICE_AGAINST_FACTS, named | told)
    against = against_decision(row, facts)
    if against is not None:
        yield Finding(FindingKind.FACTS_AGAINST_DECISION, named | {"what": against})
    billed = _billed_usage(facts)
    if billed != list(row.closings):
        told = {"billed": billed, "closed": list(row.closings)}
        yield Finding(FindingKind.CLOSINGS_AGAINST_FACTS, named | told)
    for charge in facts.charges:
        against = _against_terms(row, charge, facts.currency, versions.get(charge.source))
        if against is not None:
            told = {"item": charge.item, "source": charge.source, "what": against}
            yield Finding(FindingKind.FACTS_AGAINST_TERMS, named | told)
    for item, charged, held in _against_items(row, facts, versions):
        told = {"item": item, "charged": charged, "held": held}
        yield Finding(FindingKind.FACTS_AGAINST_ITEMS, named | told)


def _billed_usage(facts: Facts) -> list[list[Any]]:
    """Return the closings that facts name, as they are stored."""
    found = [closing for charge in facts.charges for closing in charge.closings]
    found.sort(key=lambda each: (each.meter, each.n, each.segment, each.revision))
    return [closing_to(each) for each in found]


def _differences(
    row: Invoiced, facts: Facts, drafted: InvoiceDraft
) -> Iterator[tuple[str, object, object]]:
    """Yield the names of what differs, with both values."""
    sums = {
        "rules": (row.rules, facts.rules),
        "kind": (row.kind, str(facts.kind)),
        "currency": (row.currency, facts.currency),
        "zone": (facts.zone if _has_own_zone(row) else row.zone, facts.zone),
        "net": (row.net, drafted.net),
        "tax": (row.tax, drafted.tax),
        "total": (row.total, drafted.total),
        "discount": (row.discount, drafted.discount),
        "credit": (row.credit, drafted.total - drafted.due),
        "discounts": (row.discounts, _taken_off(drafted)),
        "grants": (_used(row), _pays(facts, drafted)),
        "small": (row.small, drafted.small),
        "taxes": (stored_taxes(row), computed_taxes(facts, drafted)),
        "lines": (len(row.lines), len(drafted.lines)),
    }
    for what, (stored, computed) in sums.items():
        if stored != computed:
            yield what, stored, computed
    for line, computed_line in zip(row.lines, drafted.lines, strict=False):
        if _stored(line) != _computed(computed_line):
            yield f"line {line.line}", _stored(line), _computed(computed_line)


def _taken_off(drafted: InvoiceDraft) -> list[tuple[UUID, int, int]]:
    """Return the redemptions by id, with what each is of and what it takes off."""
    return sorted((each.redemption, each.base, each.amount) for each in drafted.discounts)


def _used(row: Invoiced) -> list[tuple[UUID, int, int]]:
    """Return what the moves say of credit: each grant, what was left of it, and what it paid."""
    return [(each.grant, each.left, each.amount) for each in row.credit_used]


def _pays(facts: Facts, drafted: InvoiceDraft) -> list[tuple[UUID, int, int]]:
    """Return the same as the facts have it."""
    left = {each.grant: each.left for each in facts.credit}
    return [(each.grant, left[each.grant], each.amount) for each in drafted.credit]


def _has_own_zone(row: Invoiced) -> bool:
    """Tell whether the facts alone know the zone: that of the subscription is another, or none."""
    return row.subscription_id is None or _is_before_anchoring(row)


def _is_before_anchoring(row: Invoiced) -> bool:
    """Tell whether an invoice's period began before the subscription was re-anchored."""
    start, anchored = row.period_start, row.anchored_from
    return start is not None and anchored is not None and start < anchored


def _stored(line: InvoicedLine) -> tuple[object, ...]:
    period = None
    if line.period_start is not None and line.period_end is not None:
        period = (line.period_start, line.period_end)
    amounts = (line.gross, line.discount, line.amount, line.tax)
    share = (line.part, line.whole)
    what = (line.item, line.description, line.quantity, line.unit_price, line.unit_amount)
    return (*what, *amounts, line.tax_included, period, share, line.detail, line.earned_at_issue)


def _computed(line: DraftLine) -> tuple[object, ...]:
    period = None if line.period is None else (line.period.start, line.period.end)
    amounts = (line.gross, line.discount, line.net, line.tax)
    return (
        line.item,
        line.description,
        line.quantity,
        None if line.unit_price is None else exact_text(line.unit_price),
        whole_price(line),
        *amounts,
        tax_included(line),
        period,
        (line.part, line.whole),
        detail_of(line),
        line.at_issue,
    )


def tax_included(line: DraftLine) -> bool:
    """Tell whether the price of a line contains its tax."""
    return line.gross != line.net + line.discount


def whole_price(line: DraftLine) -> int | None:
    """Return the price of a unit where it is a whole number of minor units."""
    unit = line.unit_price
    return int(unit) if unit is not None and unit.denominator == 1 else None


def detail_of(line: DraftLine) -> list[list[Any]]:
    """Return the rows of a line as they are stored: kind, quantity, price, flat part, amount."""
    return [
        [
            str(row.kind),
            exact_text(row.quantity),
            exact_text(row.unit),
            row.flat,
            exact_text(row.amount),
        ]
        for row in line.rows
    ]


def _against_terms(
    row: Invoiced, charge: Charge, currency: str, version: PlanVersion | AddonVersion | None
) -> str | None:
    """Return what of a charge isn't as its terms and its cycle say, or None."""
    if row.kind in WITHOUT_SUBSCRIPTION:
        return None if (charge.source, charge.terms) == (ORDERED, "") else "source"
    if version is None:
        return "source"
    item = next((each for each in version.sold if each.code == charge.item), None)
    if charge.terms != version.digest():
        return "terms"
    if item is None or charge.price not in _prices(row, charge, item.price_in(currency)):
        return "price"
    if row.period_start is None or row.period_end is None or charge.metered:
        return None
    if charge.period != Period(row.period_start, row.period_end):
        return "period"
    named = f"plan:{row.plan}:{row.plan_version}"
    return None if charge.source == named or isinstance(version, AddonVersion) else "version"


def _prices(row: Invoiced, charge: Charge, price: ItemPrice | None) -> Sequence[ItemPrice | None]:
    """Return what a charge may be at: usage of a paused period has no minimum."""
    paused = any(closing.n in row.paused for closing in charge.closings)
    if price is None or not paused:
        return [price]
    return [price, price_in(CycleKind.PAUSED, price)]


def _against_items(
    row: Invoiced, facts: Facts, versions: Mapping[str, PlanVersion | AddonVersion]
) -> Iterator[tuple[str, Fraction | int | None, int | None]]:
    """Yield the items of a cycle's plan that are charged otherwise than they are held."""
    if row.kind == InvoiceKind.CHANGE:
        yield from comparing_items.of_change(row, facts)
    version = versions.get(f"plan:{row.plan}:{row.plan_version}")
    if row.kind != InvoiceKind.CYCLE or not isinstance(version, PlanVersion):
        return
    charged = {charge.item: charge.quantity for charge in facts.charges if not charge.metered}
    for item in version.sold:
        if item.kind is not ItemKind.METERED:
            held, found = _to_charge(row, version, item), charged.get(item.code)
            if held != found:
                yield item.code, found, held


def _to_charge(row: Invoiced, version: PlanVersion, item: Item) -> int | None:
    """Return how many units of an item an invoice has to charge; None where it charges none."""
    held = row.items.get(item.code)
    if item.kind is ItemKind.ONCE:
        return None if held is None or held.billed_in != row.id else held.quantity
    if not version.items:
        return row.quantity
    if held is not None:
        return held.quantity
    if item.code == BASE and item.quantity is not None:
        return row.quantity
    return 1 if item.quantity is None else item.quantity.default


def _of_free(cycle: FreeCycle, catalog: Mapping[str, Plan]) -> Iterator[Finding]:
    plan = catalog.get(cycle.plan)
    versions = () if plan is None else plan.versions
    version = next((each for each in versions if each.effective == cycle.plan_version), None)
    sold = () if version is None else version.sold
    prices = [item.price_in(cycle.currency) for item in sold if item.meter is None]
    if version is None or not all(price is not None and price.is_free for price in prices):
        facts = {"subscription_id": cycle.subscription_id, "n": cycle.n, "plan": cycle.plan}
        yield Finding(FindingKind.CYCLE_NOT_FREE, facts)
