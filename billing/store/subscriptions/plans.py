"""Published plans and their insert-only versions."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from billing.plans.terms import Cadence, ChangePolicy, Dunning, OnDispute, Plan, PlanVersion
from billing.store.arrays import literal
from billing.store.subscriptions.versions import Place, PublishedVersions
from billing.store.tables import plan_corrections, plan_versions, plans


def _dunning(stored: dict[str, Any] | None) -> Dunning | None:
    if stored is None:
        return None
    return Dunning(tuple(Cadence.parse(step) for step in stored["retry_after"]), stored["then"])


def dunning_json(dunning: Dunning | None) -> dict[str, Any] | None:
    """Return a ladder as it is stored."""
    if dunning is None:
        return None
    return {"retry_after": [str(step) for step in dunning.retry_after], "then": dunning.then}


VERSIONS: Final = PublishedVersions.of(
    "plan", plan_versions, plan_corrections, PlanVersion.from_terms
)
_CATALOG_LOCK = 0x706C616E73  # "plans", the number of an advisory lock


@dataclass(frozen=True, slots=True)
class Held:
    """The instants at which the catalog was held: of the test clock, if one is set, and of the
    database.
    """

    test_clock: datetime | None
    database: datetime


_HOLD = text(
    """
    SELECT (SELECT c.now FROM test_clock c) AS test_clock, clock_timestamp() AS database,
           pg_advisory_xact_lock_shared(:key)
    """
)


def hold(conn: Connection) -> Held:
    """Let no published version be corrected until the transaction ends, and return when that is.

    Whoever prices by a version reads it after this, and names it before the transaction ends.
    """
    row = conn.execute(_HOLD, {"key": _CATALOG_LOCK}).one()
    return Held(row.test_clock, row.database)


def hold_alone(conn: Connection) -> None:
    """Wait for whoever prices by a published version, and let nobody else do it meanwhile."""
    conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CATALOG_LOCK})


def published(conn: Connection) -> dict[str, Plan]:
    """Return every published plan with all its versions as they hold now, by code."""
    versions: dict[str, list[PlanVersion]] = {}
    for each in VERSIONS.read(conn):
        version = replace(each.version, published_at=each.published_at)
        versions.setdefault(each.code, []).append(version)
    return {
        row.code: Plan(
            code=row.code,
            product=row.product,
            name=row.name,
            dunning=_dunning(row.dunning),
            catch_up=row.catch_up,
            versions=tuple(versions.get(row.code, ())),
            retired=row.retired,
            one_per_customer=row.one_per_customer,
            trial_once=row.trial_once,
            on_dispute=row.on_dispute,
            change=ChangePolicy(row.change_up, row.change_down, row.change_credit),
        )
        for row in conn.execute(select(plans).order_by(plans.c.code))
    }


def ladder(conn: Connection, code: str) -> Dunning | None:
    """Return a plan's own dunning ladder, or None where the global one applies."""
    return _dunning(conn.execute(select(plans.c.dunning).where(plans.c.code == code)).scalar())


def on_dispute(conn: Connection, code: str) -> OnDispute:
    """Return what becomes of a plan's subscription that a dispute was lost for."""
    query = select(plans.c.on_dispute).where(plans.c.code == code)
    found: OnDispute = conn.execute(query).scalar_one()
    return found


# The conditions are asked in this order, so that cycles are only searched for a version that has
# begun and that no subscription holds any more.
_UNUSED = text(
    """
    SELECT v.plan, v.effective
      FROM unnest(CAST(:plans AS text[]), CAST(:days AS date[])) AS v(plan, effective)
     WHERE CASE
           WHEN EXISTS (SELECT FROM subscriptions s
                         WHERE s.plan = v.plan AND s.plan_version = v.effective) THEN false
           WHEN v.effective > coalesce((SELECT c.now FROM test_clock c), now()) + interval '2 days'
           THEN true
           ELSE NOT EXISTS (SELECT FROM cycles c
                             WHERE c.plan = v.plan AND c.plan_version = v.effective) END
    """
)


def unused(conn: Connection, versions: Collection[Place]) -> frozenset[Place]:
    """Return those of the versions that no cycle was priced by and that no subscription holds."""
    if not versions:
        return frozenset()
    codes, days = zip(*versions, strict=True)
    values = {"plans": literal(codes), "days": literal(days)}
    return frozenset((row.plan, row.effective) for row in conn.execute(_UNUSED, values))


def put_plan(conn: Connection, plan: Plan, now: datetime) -> None:
    """Write a plan's policy (name, ladder, catch-up); its versions are put one by one."""
    values = {
        "product": plan.product,
        "name": plan.name,
        "dunning": dunning_json(plan.dunning),
        "catch_up": plan.catch_up,
        "retired": plan.retired,
        "one_per_customer": plan.one_per_customer,
        "trial_once": plan.trial_once,
        "on_dispute": plan.on_dispute,
        "change_up": plan.change.up,
        "change_down": plan.change.down,
        "change_credit": plan.change.credit,
        "applied_at": now,
    }
    statement = insert(plans).values(code=plan.code, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=["code"], set_=values))


_MOVED = text(
    """
    SELECT currency, plan_version, count(*) AS subscriptions, sum(quantity) AS quantity
      FROM subscriptions
     WHERE plan = :plan AND status NOT IN ('canceled', 'unpaid')
       AND (cancels_at IS NULL OR cancels_at > CAST(:on AS date))
     GROUP BY currency, plan_version ORDER BY currency, plan_version
    """
)


_HELD = text(
    """
    SELECT s.currency, s.plan_version, h.item, h.quantity, count(*) AS subscriptions
      FROM subscriptions s
      CROSS JOIN LATERAL (
        SELECT i.item, i.quantity FROM subscription_items i
         WHERE i.subscription_id = s.id AND i.addon IS NULL
        UNION ALL
        SELECT 'base', s.quantity
         WHERE NOT EXISTS (SELECT FROM subscription_items i
                            WHERE i.subscription_id = s.id AND i.item = 'base')) h
     WHERE s.plan = :plan AND s.status NOT IN ('canceled', 'unpaid')
       AND (s.cancels_at IS NULL OR s.cancels_at > CAST(:on AS date))
     GROUP BY 1, 2, 3, 4
    """
)


@dataclass(frozen=True, slots=True)
class LiveSubscriptions:
    """How many live subscriptions hold a version in a currency, and of how many units together."""

    currency: str
    plan_version: date
    subscriptions: int
    quantity: int


def live_subscriptions(conn: Connection, plan: str, on: date) -> list[LiveSubscriptions]:
    """Count a plan's live subscriptions by currency and the version they hold.

    Those that are to end by that day aren't counted.
    """
    return [
        LiveSubscriptions(row.currency, row.plan_version, row.subscriptions, int(row.quantity))
        for row in conn.execute(_MOVED, {"plan": plan, "on": on})
    ]


def held_quantities(
    conn: Connection, plan: str, on: date
) -> dict[tuple[str, date], dict[str, dict[int, int]]]:
    """Count how many of a plan's live subscriptions hold which quantity of an item.

    By currency and the version they hold, by item and by quantity. Those that are to end by that
    day aren't counted.
    """
    found: dict[tuple[str, date], dict[str, dict[int, int]]] = {}
    for row in conn.execute(_HELD, {"plan": plan, "on": on}):
        of_version = found.setdefault((row.currency, row.plan_version), {})
        of_version.setdefault(row.item, {})[row.quantity] = row.subscriptions
    return found
