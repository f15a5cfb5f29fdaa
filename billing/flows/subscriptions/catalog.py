"""Publishing the catalog: compare it with what is published, then add what is new.

A published version never changes: the same date with other terms is refused, with the
difference and the remedy, before anything is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine

from billing.errors import Conflict, ErrorCode
from billing.rules.money import Money
from billing.store.subscriptions import plans
from plans.terms import Catalog, Plan, PlanVersion


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the catalog and what is published.

    `kind`: new_plan, new_version, policy (name, ladder, catch-up), changed_terms, not_in_catalog.
    `effects` tell, for a new version that moves subscriptions, how many and how much money
    a period it changes, a currency each.
    """

    kind: str
    plan: str
    effective: date | None
    words: str
    effects: tuple["Effect", ...] = ()


@dataclass(frozen=True, slots=True)
class Effect:
    """What a price change moves: subscriptions, their quantity, and the sum a period."""

    currency: str
    subscriptions: int
    before: Money
    after: Money


def diff(conn: Connection, catalog: Catalog) -> list[Change]:
    """Return what applying the catalog would do, or why it can't be applied."""
    published, digests = plans.published(conn), plans.digests(conn)
    changes: list[Change] = []
    for plan in catalog.plans.values():
        stored = published.get(plan.code)
        if stored is None:
            changes.append(Change("new_plan", plan.code, None, f"new plan {plan.name!r}"))
        else:
            changes += _policy_changes(stored, plan)
        for version in plan.versions:
            changes += _version_changes(conn, plan, version, stored, digests)
        if stored is not None:
            changes += _missing_versions(stored, plan)
    for code in sorted(published.keys() - catalog.plans.keys()):
        words = "published, but no longer in the catalog: it stays as it is"
        changes.append(Change("not_in_catalog", code, None, words))
    return changes


def _policy_changes(stored: Plan, plan: Plan) -> list[Change]:
    found = []
    for name in ("product", "name", "dunning", "catch_up"):
        before, after = getattr(stored, name), getattr(plan, name)
        if before != after:
            words = f"{name}: {_plain(before)} -> {_plain(after)}"
            found.append(Change("policy", plan.code, None, words))
    return found


def _plain(value: Any) -> str:
    stored = plans.dunning_json(value) if hasattr(value, "retry_after") else value
    return "(default)" if stored is None else str(stored)


def _version_changes(
    conn: Connection,
    plan: Plan,
    version: PlanVersion,
    stored: Plan | None,
    digests: Mapping[tuple[str, date], str],
) -> list[Change]:
    digest = digests.get((plan.code, version.effective))
    if digest == version.digest():
        return []
    if digest is None:
        words = f"new version: {_prices(version)}"
        if version.existing == "move":
            words += "; existing subscriptions move to it from their next period on"
        effects = _effects(conn, version, stored) if version.existing == "move" else ()
        return [Change("new_version", plan.code, version.effective, words, effects)]
    assert stored is not None
    before = next(v for v in stored.versions if v.effective == version.effective)
    return [
        Change("changed_terms", plan.code, version.effective, terms_difference(before, version))
    ]


def _prices(version: PlanVersion) -> str:
    return ", ".join(str(Money(amount, code)) for code, amount in sorted(version.prices.items()))


def terms_difference(before: PlanVersion, after: PlanVersion) -> str:
    """Return in words what differs between two sets of terms."""
    old, new = before.to_terms(), after.to_terms()
    return "; ".join(
        f"{key}: {old.get(key)} -> {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def _effects(conn: Connection, version: PlanVersion, stored: Plan | None) -> tuple[Effect, ...]:
    if stored is None:
        return ()
    held = {v.effective: v for v in stored.versions}
    sums: dict[str, Effect] = {}
    for row in plans.live_subscriptions(conn, version.plan):
        if row.plan_version >= version.effective or row.currency not in version.prices:
            continue
        quantity = int(row.quantity)
        before = Money(held[row.plan_version].prices[row.currency] * quantity, row.currency)
        after = Money(version.prices[row.currency] * quantity, row.currency)
        so_far = sums.get(row.currency)
        sums[row.currency] = Effect(
            row.currency,
            row.subscriptions + (so_far.subscriptions if so_far else 0),
            before + so_far.before if so_far else before,
            after + so_far.after if so_far else after,
        )
    return tuple(sums.values())


def _missing_versions(stored: Plan, plan: Plan) -> list[Change]:
    dates = {version.effective for version in plan.versions}
    return [
        Change("not_in_catalog", plan.code, version.effective, "published, not in the catalog")
        for version in stored.versions
        if version.effective not in dates
    ]


def apply(engine: Engine, catalog: Catalog, *, now: datetime) -> list[Change]:
    """Publish what is new in the catalog and return what was done; all of it or nothing.

    Raises `Conflict` when a published version was changed.
    """
    with engine.begin() as conn:
        changes = diff(conn, catalog)
        _refuse_changed(changes)
        digests = plans.digests(conn)
        for plan in catalog.plans.values():
            plans.put_plan(conn, plan, now)
            fresh = [v for v in plan.versions if (plan.code, v.effective) not in digests]
            plans.add_versions(conn, fresh, now)
    return [change for change in changes if change.kind != "not_in_catalog"]


def _refuse_changed(changes: Sequence[Change]) -> None:
    changed = [change for change in changes if change.kind == "changed_terms"]
    if changed:
        raise Conflict(
            "published versions can't change: "
            + " | ".join(f"{c.plan} of {c.effective}: {c.words}" for c in changed),
            where="plans/catalog",
            code=ErrorCode.VERSION_PUBLISHED,
        )
