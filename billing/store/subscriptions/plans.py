"""Published plans and their insert-only versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from billing.store.tables import plan_versions, plans
from plans.terms import Cadence, Dunning, Plan, PlanVersion


def _dunning(stored: dict[str, Any] | None) -> Dunning | None:
    if stored is None:
        return None
    return Dunning(tuple(Cadence.parse(step) for step in stored["retry_after"]), stored["then"])


def dunning_json(dunning: Dunning | None) -> dict[str, Any] | None:
    """Return a ladder as it is stored."""
    if dunning is None:
        return None
    return {"retry_after": [str(step) for step in dunning.retry_after], "then": dunning.then}


def published(conn: Connection) -> dict[str, Plan]:
    """Return every published plan with all its versions, by code."""
    versions: dict[str, list[PlanVersion]] = {}
    for row in conn.execute(select(plan_versions).order_by(plan_versions.c.effective)):
        version = PlanVersion.from_terms(row.plan, row.effective, row.terms)
        versions.setdefault(row.plan, []).append(version)
    return {
        row.code: Plan(
            code=row.code,
            product=row.product,
            name=row.name,
            dunning=_dunning(row.dunning),
            catch_up=row.catch_up,
            versions=tuple(versions.get(row.code, ())),
        )
        for row in conn.execute(select(plans).order_by(plans.c.code))
    }


def ladder(conn: Connection, code: str) -> Dunning | None:
    """Return a plan's own dunning ladder, or None where the global one applies."""
    return _dunning(conn.execute(select(plans.c.dunning).where(plans.c.code == code)).scalar())


def digests(conn: Connection) -> dict[tuple[str, date], str]:
    """Return the digest of every published version."""
    query = select(plan_versions.c.plan, plan_versions.c.effective, plan_versions.c.digest)
    return {(row.plan, row.effective): row.digest for row in conn.execute(query)}


def put_plan(conn: Connection, plan: Plan, now: datetime) -> None:
    """Write a plan's policy (name, ladder, catch-up); its versions are put one by one."""
    values = {
        "product": plan.product,
        "name": plan.name,
        "dunning": dunning_json(plan.dunning),
        "catch_up": plan.catch_up,
        "applied_at": now,
    }
    statement = insert(plans).values(code=plan.code, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=["code"], set_=values))


def add_versions(conn: Connection, versions: Sequence[PlanVersion], now: datetime) -> None:
    """Publish versions; the database refuses to change one that exists."""
    for version in versions:
        conn.execute(
            insert(plan_versions).values(
                plan=version.plan,
                effective=version.effective,
                terms=version.to_terms(),
                digest=version.digest(),
                published_at=now,
            )
        )


_MOVED = text(
    """
    SELECT currency, plan_version, count(*) AS subscriptions, sum(quantity) AS quantity
      FROM subscriptions
     WHERE plan = :plan AND status NOT IN ('canceled', 'unpaid')
     GROUP BY currency, plan_version ORDER BY currency, plan_version
    """
)


@dataclass(frozen=True, slots=True)
class LiveSubscriptions:
    """How many live subscriptions hold a version in a currency, and of how many units together."""

    currency: str
    plan_version: date
    subscriptions: int
    quantity: int


def live_subscriptions(conn: Connection, plan: str) -> list[LiveSubscriptions]:
    """Count a plan's live subscriptions by currency and the version they hold."""
    return [
        LiveSubscriptions(row.currency, row.plan_version, row.subscriptions, int(row.quantity))
        for row in conn.execute(_MOVED, {"plan": plan})
    ]
