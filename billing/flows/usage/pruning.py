"""Taking old days of usage out, as the owner of the tables: totals and what was billed stay.

A day is taken out when nothing of it is accepted any more, so no retry of its events counts again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, ErrorCode
from billing.rules.actor import Actor
from billing.store.access import audit
from billing.store.usage import sealing
from billing.store.usage.adding import IDS_KEPT_DAYS
from billing.store.usage.sealing import UsageDay

MARGIN: Final = timedelta(days=2)
"""How much longer days are kept than usage of them is accepted: clocks differ."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is to be taken out: the days with events before one."""

    before: date
    days: Sequence[UsageDay]


def planned(engine: Engine, now: datetime, keep: timedelta) -> Pruning:
    """Return which days would be taken out. Raises: BadInput, where usage may still be accepted."""
    with engine.connect() as conn:
        least = sealing.longest_late_for(conn) + MARGIN
        if keep < least:
            raise BadInput(
                f"usage is accepted up to {least.days - MARGIN.days} days late, and"
                f" {keep.days} days would be kept",
                where="--keep-days",
                code=ErrorCode.USAGE_STILL_ACCEPTED,
                days=least.days,
            )
        before = (now - keep).date()
        return Pruning(before, sealing.days_before(conn, before))


def prune(engine: Engine, plan: Pruning, now: datetime, actor: Actor) -> Iterator[UsageDay]:
    """Take days out, each in a transaction of its own, the oldest first."""
    for each in plan.days:
        with marked(CrashPoint.USAGE_DAY_SEALED), engine.begin() as conn:
            sealed = sealing.seal(conn, each.day, now=now, actor=str(actor))
            detail = {"events": sealed.events, "counted": sealed.counted}
            audit.record(
                conn, actor=actor, action="usage.prune", subject=str(each.day), detail=detail
            )
        yield sealed
    with marked(CrashPoint.USAGE_IDS_FORGOTTEN), engine.begin() as conn:
        sealing.drop_empty_days(conn, plan.before)
        sealing.forget_ids(conn, (now - timedelta(days=IDS_KEPT_DAYS + 1)).date())
