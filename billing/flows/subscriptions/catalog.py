"""Publishing the catalog: compare it with what is published, then add what is new.

A published version that a cycle or a subscription names never changes: the same date with other
terms is refused, with the difference and the remedy, before anything is written. One that nothing
uses yet is corrected, or taken out where it is missing from its plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.errors import Conflict, ErrorCode
from billing.plans.catalogs import Catalog
from billing.plans.terms import Dunning, Plan, PlanVersion, version_for_period
from billing.rules.money import Money
from billing.store.subscriptions import plans

_POLICY = (
    "product", "name", "dunning", "catch_up", "retired", "one_per_customer", "trial_once",
    "on_dispute",
)  # fmt: skip


class CatalogChangeKind(StrEnum):
    """How the catalog can differ from what is published."""

    NEW_PLAN = "new_plan"
    NEW_VERSION = "new_version"
    POLICY = "policy"
    """What holds for a plan at once: its name, its ladder, how it is sold, ..."""
    CORRECTED = "corrected"
    """A published version that nothing uses yet has other terms."""
    WITHDRAWN = "withdrawn"
    """A published version that nothing uses yet is taken out."""
    CHANGED_TERMS = "changed_terms"
    """A published version that is in use was changed, which can't be applied."""
    NOT_IN_CATALOG = "not_in_catalog"


@dataclass(frozen=True, slots=True)
class TermDifference:
    """One value that was published and is another in the catalog, as it is stored."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """One difference between the catalog and what is published.

    `name` belongs to a new plan; `prices` and `moves` (whether existing subscriptions move to it)
    to a new version; `differences` list what else changes. For a new version that moves
    subscriptions, `effects` count, for each currency, the subscriptions and the money a period that
    change.
    """

    kind: CatalogChangeKind
    plan: str
    effective: date | None = None
    name: str | None = None
    differences: tuple[TermDifference, ...] = ()
    prices: tuple[Money, ...] = ()
    moves: bool = False
    effects: tuple["PriceEffect", ...] = ()


@dataclass(frozen=True, slots=True)
class PriceEffect:
    """What a price change moves: subscriptions, their quantity, and the sum a period."""

    currency: str
    subscriptions: int
    before: Money
    after: Money


def diff(conn: Connection, catalog: Catalog) -> list[CatalogChange]:
    """Return what applying the catalog would do, or why it can't be applied."""
    published, digests = plans.published(conn), plans.digests(conn)
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
            changes += _missing_versions(stored, plan, unused)
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
                prices=_prices(version),
                moves=moves,
                effects=_effects(conn, version, plan, stored, unused) if moves else (),
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
            differences=terms_differences(before, version),
            moves=moves,
            effects=_effects(conn, version, plan, stored, unused) if moves else (),
        )
    ]


def _prices(version: PlanVersion) -> tuple[Money, ...]:
    return tuple(Money(amount, code) for code, amount in sorted(version.prices.items()))


def terms_differences(before: PlanVersion, after: PlanVersion) -> tuple[TermDifference, ...]:
    """Return what differs between two sets of terms."""
    old, new = before.to_terms(), after.to_terms()
    return tuple(
        TermDifference(key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def _effects(
    conn: Connection,
    version: PlanVersion,
    plan: Plan,
    stored: Plan | None,
    unused: frozenset[tuple[str, date]],
) -> tuple[PriceEffect, ...]:
    """Return what moves to a version: who will still be there, from what they pay until then.

    That is the price of an earlier move of the catalog, where there is one in between, unless the
    catalog takes that one out.
    """
    if stored is None:
        return ()
    stays = [each for each in stored.versions if (plan.code, each.effective) not in unused]
    dated = {each.effective: each for each in (*stays, *plan.versions)}
    day_before = version.effective - timedelta(days=1)
    sums: dict[str, PriceEffect] = {}
    for row in plans.live_subscriptions(conn, version.plan, version.effective):
        if row.plan_version >= version.effective or row.currency not in version.prices:
            continue
        sold = tuple(each for each in dated.values() if row.currency in each.prices)
        held = version_for_period(sold, row.plan_version, day_before)
        before = Money(held.prices[row.currency] * row.quantity, row.currency)
        after = Money(version.prices[row.currency] * row.quantity, row.currency)
        so_far = sums.get(row.currency)
        sums[row.currency] = PriceEffect(
            row.currency,
            row.subscriptions + (so_far.subscriptions if so_far else 0),
            before + so_far.before if so_far else before,
            after + so_far.after if so_far else after,
        )
    return tuple(sums.values())


def _missing_versions(
    stored: Plan, plan: Plan, unused: frozenset[tuple[str, date]]
) -> list[CatalogChange]:
    dates = {version.effective for version in plan.versions}
    return [
        CatalogChange(
            CatalogChangeKind.WITHDRAWN
            if (plan.code, version.effective) in unused
            else CatalogChangeKind.NOT_IN_CATALOG,
            plan.code,
            version.effective,
        )
        for version in stored.versions
        if version.effective not in dates
    ]


def apply(engine: Engine, catalog: Catalog, *, now: datetime) -> list[CatalogChange]:
    """Publish what is new in the catalog, all of it or nothing, and return what was published.

    Raises `Conflict` when a published version in use was changed.
    """
    with marked(CrashPoint.CATALOG_APPLIED), engine.begin() as conn:
        plans.hold_alone(conn)
        changes = diff(conn, catalog)
        _refuse_changed(changes)
        known, digests = plans.dates(conn), plans.digests(conn)
        for plan in catalog.plans.values():
            plans.put_plan(conn, plan, now)
            fresh = [v for v in plan.versions if (plan.code, v.effective) not in known]
            plans.add_versions(conn, fresh, now)
            for version in plan.versions:
                place = (plan.code, version.effective)
                if place in known and digests.get(place) != version.digest():
                    plans.correct(conn, *place, version, now)
        for change in changes:
            if change.kind is CatalogChangeKind.WITHDRAWN and change.effective is not None:
                plans.correct(conn, change.plan, change.effective, None, now)
    return [change for change in changes if change.kind is not CatalogChangeKind.NOT_IN_CATALOG]


def _refuse_changed(changes: Sequence[CatalogChange]) -> None:
    changed = [change for change in changes if change.kind is CatalogChangeKind.CHANGED_TERMS]
    if changed:
        raise Conflict(
            "published versions can't change: "
            + ", ".join(f"{c.plan} of {c.effective}" for c in changed),
            where="plans/catalog",
            code=ErrorCode.VERSION_PUBLISHED,
        )
