"""Comparing what subscriptions hold and invoices charge with the changes that were asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles import held_terms
from billing.plans.items import BASE
from billing.plans.terms import Plan, PlanVersion
from billing.pricing import Facts
from billing.rules.item_changes import HeldTerms, ItemChange, held_after, held_at_start, held_in
from billing.rules.promises import Finding, FindingKind
from billing.store.promises import held
from billing.store.promises.held import HeldRows
from billing.store.promises.invoiced import Invoiced, InvoicedItem

_ALWAYS: Final = datetime.max.replace(tzinfo=UTC)


def unreadable(changes: Mapping[UUID, Sequence[ItemChange]]) -> Mapping[UUID, Finding]:
    """Return a finding for each subscription whose changes come to nothing that can be held."""
    found = {}
    for subscription_id, asked in changes.items():
        try:
            held_in(asked, (_ALWAYS, _ALWAYS))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            named = {"subscription_id": subscription_id, "held": "something"}
            facts = {**named, "changed": f"no terms: {error}"}
            found[subscription_id] = Finding(FindingKind.ITEMS_AGAINST_CHANGES, facts)
    return found


def held_then(row: Invoiced, changes: Mapping[UUID, Sequence[ItemChange]]) -> Invoiced:
    """Return an invoice with what was held when its period began, or right after its change.

    Where nothing was ever changed, that is what is held.
    """
    asked = changes.get(row.subscription_id, ()) if row.subscription_id is not None else ()
    terms: HeldTerms | None = None
    if row.change_id is not None:
        terms = held_after(asked, row.change_id, row.changed_in)
    elif row.period_start is not None:
        terms = held_at_start(asked, row.period_start)
    if terms is None:
        return row
    billed = {item: held.billed_in for item, held in row.items.items()}
    items = {
        item: InvoicedItem(quantity, billed.get(item)) for item, quantity in terms.items.items()
    }
    return replace(row, quantity=terms.items.get(BASE, row.quantity), items=items)


def of_change(row: Invoiced, facts: Facts) -> Iterator[tuple[str, Fraction, int]]:
    """Yield the items of a change's invoice whose units don't come to what is held after it."""
    for charge in facts.charges:
        held = row.items.get(charge.item)
        if (
            held is not None
            and not charge.once
            and charge.before + charge.quantity != held.quantity
        ):
            yield charge.item, charge.before + charge.quantity, held.quantity


def of_rows(
    conn: Connection,
    catalog: Mapping[str, Plan],
    changes: Mapping[UUID, Sequence[ItemChange]],
) -> Iterator[Finding]:
    """Yield the subscriptions that hold something else than their changes come to."""
    for row in held.changed_ones(conn):
        period = None
        if row.since is not None and row.until is not None:
            period = (row.since, row.until)
        terms = held_in(changes[row.id], period)
        if terms is None:
            continue
        stored, come_to = _stored(row, catalog), _come_to(row, terms, catalog)
        if stored != come_to:
            facts = {"subscription_id": row.id, "held": stored, "changed": come_to}
            yield Finding(FindingKind.ITEMS_AGAINST_CHANGES, facts)


def _version(row: HeldRows, catalog: Mapping[str, Plan]) -> PlanVersion | None:
    plan = catalog.get(row.plan)
    versions = () if plan is None else plan.versions
    return next((each for each in versions if each.effective == row.plan_version), None)


def _stored(row: HeldRows, catalog: Mapping[str, Plan]) -> str:
    version = _version(row, catalog)
    single = version is not None and not version.items
    return _told(row.plan, {BASE: row.quantity, **row.items} if single else row.items)


def _come_to(row: HeldRows, terms: HeldTerms, catalog: Mapping[str, Plan]) -> str:
    version = _version(row, catalog)
    items = {} if version is None else held_terms.quantities(terms, version)
    return _told(terms.plan, {item: quantity for item, quantity in items.items() if quantity})


def _told(plan: str, items: Mapping[str, int]) -> str:
    quantities = ", ".join(f"{item} {quantity}" for item, quantity in sorted(items.items()))
    return f"{plan}: {quantities or 'no quantities'}"
