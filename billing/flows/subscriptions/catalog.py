"""Publishing the catalog: compare it with what is published, then add what is new.

A published version that a cycle or a subscription names never changes: the same date with other
terms is refused, with the difference and the remedy, before anything is written. One that nothing
uses yet is corrected, or taken out where it is missing from its plan.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.errors import Conflict, ErrorCode
from billing.flows.subscriptions import (
    catalog_addons,
    catalog_coupons,
    catalog_meters,
    catalog_taxes,
)
from billing.flows.subscriptions.catalog_changes import (
    CatalogChange,
    CatalogChangeKind,
    CatalogSubject,
    PriceEffect,
    TermDifference,
    missing_versions,
    terms_differences,
    withdrawn,
)
from billing.flows.subscriptions.catalog_effects import effects_of_move
from billing.plans.catalogs import Catalog
from billing.plans.terms import ChangePolicy, Dunning, Plan, PlanVersion
from billing.rules.money import Money
from billing.store.subscriptions import addons, plans

__all__ = [
    "CatalogChange",
    "CatalogChangeKind",
    "CatalogSubject",
    "PriceEffect",
    "TermDifference",
    "apply",
    "diff",
]

_POLICY = (
    "product", "name", "dunning", "catch_up", "retired", "one_per_customer", "trial_once",
    "on_dispute", "change",
)  # fmt: skip


def diff(conn: Connection, catalog: Catalog, *, now: datetime) -> list[CatalogChange]:
    """Return what applying the catalog would do, or why it can't be applied."""
    return [
        *_plan_changes(conn, catalog),
        *catalog_addons.diff(conn, catalog.addons),
        *catalog_coupons.diff(conn, catalog.coupons),
        *_meter_changes(conn, catalog),
        *catalog_taxes.diff(conn, catalog.tax_rates, now.date()),
    ]


def _meter_changes(conn: Connection, catalog: Catalog) -> list[CatalogChange]:
    if not catalog.meters:
        return []
    of_plans, of_addons = plans.published(conn), addons.published(conn)
    unused = plans.unused(conn, plans.VERSIONS.digests(conn).keys())
    unheld = addons.unused(conn, addons.VERSIONS.digests(conn).keys())
    used = [
        *catalog_meters.used_meters(of_plans, unused),
        *catalog_meters.used_meters(of_addons, unheld),
    ]
    return list(catalog_meters.changed(catalog, used))


def _plan_changes(conn: Connection, catalog: Catalog) -> list[CatalogChange]:
    published, digests = plans.published(conn), plans.VERSIONS.digests(conn)
    unused = plans.unused(conn, _differing(catalog, published, digests))
    changes: list[CatalogChange] = []
    for plan in catalog.plans.values():
        stored = published.get(plan.code)
        if stored is None:
            changes.append(CatalogChange(CatalogChangeKind.NEW_PLAN, plan.code, name=plan.name))
        else:
            changes += _policy_changes(stored, plan)
        for version in plan.versions:
            changes += _version_changes(conn, plan, version, stored, digests, unused)
        if stored is not None:
            changes += missing_versions(
                CatalogSubject.PLAN, plan.code, stored.versions, plan.versions, unused
            )
    for code in sorted(published.keys() - catalog.plans.keys()):
        changes.append(CatalogChange(CatalogChangeKind.NOT_IN_CATALOG, code))
    return changes


def _differing(
    catalog: Catalog, published: Mapping[str, Plan], digests: Mapping[tuple[str, date], str]
) -> set[tuple[str, date]]:
    """Return the published versions that the catalog has otherwise, or not any more."""
    of_plans = {place for place in digests if place[0] in catalog.plans and place[0] in published}
    same = {
        (plan.code, version.effective)
        for plan in catalog.plans.values()
        for version in plan.versions
        if digests.get((plan.code, version.effective)) == version.digest()
    }
    return of_plans - same


def _policy_changes(stored: Plan, plan: Plan) -> list[CatalogChange]:
    found = []
    for name in _POLICY:
        before, after = getattr(stored, name), getattr(plan, name)
        if before != after:
            differences = (TermDifference(name, _stored(before), _stored(after)),)
            found.append(
                CatalogChange(CatalogChangeKind.POLICY, plan.code, differences=differences)
            )
    return found


def _stored(value: Any) -> Any:
    if isinstance(value, ChangePolicy):
        return {"up": value.up, "down": value.down, "credit": value.credit}
    return plans.dunning_json(value) if isinstance(value, Dunning) else value


def _version_changes(
    conn: Connection,
    plan: Plan,
    version: PlanVersion,
    stored: Plan | None,
    digests: Mapping[tuple[str, date], str],
    unused: frozenset[tuple[str, date]],
) -> list[CatalogChange]:
    digest = digests.get((plan.code, version.effective))
    if digest == version.digest():
        return []
    if digest is None:
        moves = version.existing == "move"
        return [
            CatalogChange(
                CatalogChangeKind.NEW_VERSION,
                plan.code,
                version.effective,
                prices=tuple(Money(each, code) for code, each in sorted(version.prices.items())),
                items=version.items,
                moves=moves,
                effects=effects_of_move(conn, version, plan, stored, unused) if moves else (),
            )
        ]
    assert stored is not None
    before = next(v for v in stored.versions if v.effective == version.effective)
    can_change = (plan.code, version.effective) in unused
    moves = can_change and version.existing == "move"
    return [
        CatalogChange(
            CatalogChangeKind.CORRECTED if can_change else CatalogChangeKind.CHANGED_TERMS,
            plan.code,
            version.effective,
            differences=terms_differences(before.to_terms(), version.to_terms()),
            moves=moves,
            effects=effects_of_move(conn, version, plan, stored, unused) if moves else (),
        )
    ]


def apply(engine: Engine, catalog: Catalog, *, now: datetime) -> list[CatalogChange]:
    """Publish what is new in the catalog, all of it or nothing, and return what was published.

    Raises `Conflict` when a published version or coupon in use was changed.
    """
    with marked(CrashPoint.CATALOG_APPLIED), engine.begin() as conn:
        plans.hold_alone(conn)
        changes = diff(conn, catalog, now=now)
        _refuse_changed(changes)
        _apply_plans(conn, catalog, changes, now)
        catalog_addons.apply(conn, catalog.addons, changes, now)
        catalog_coupons.apply(conn, catalog.coupons, now)
        catalog_taxes.apply(conn, catalog.tax_rates, now)
    return [change for change in changes if change.kind is not CatalogChangeKind.NOT_IN_CATALOG]


def _apply_plans(
    conn: Connection, catalog: Catalog, changes: Sequence[CatalogChange], now: datetime
) -> None:
    for plan in catalog.plans.values():
        plans.put_plan(conn, plan, now)
    wanted = {plan.code: plan.versions for plan in catalog.plans.values()}
    plans.VERSIONS.publish(conn, wanted, now)
    for place in withdrawn(changes, CatalogSubject.PLAN):
        plans.VERSIONS.correct(conn, place, None, now)


def _refuse_changed(changes: Sequence[CatalogChange]) -> None:
    changed = [change for change in changes if change.kind is CatalogChangeKind.CHANGED_TERMS]
    if changed:
        raise Conflict(
            f"published versions can't change: {', '.join(map(_named, changed))}",
            where="plans/catalog",
            code=ErrorCode.VERSION_PUBLISHED,
        )


def _named(change: CatalogChange) -> str:
    if change.effective is None:
        return f"{change.subject} {change.code}"
    return f"{change.code} of {change.effective}"
