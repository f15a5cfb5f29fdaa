"""Handing due rows to workers: the rows first, the messages after.

A message is a hint and may be lost or doubled. What it was about is due again once its dispatch
window is over.
"""

from uuid import UUID

from sqlalchemy import TextClause

from billing.crash_points import CrashPoint, marked
from billing.flows.context import Context
from billing.store import dispatch


def take_due(context: Context, due: TextClause, *, limit: int) -> list[UUID]:
    """Return up to `limit` rows that are due, each at most once in a dispatch window.

    Opens a transaction, and commits it before it returns.
    """
    now, wall = context.clock.now(), context.clock.wall()
    again_at = wall + context.policy.dispatch_window
    with marked(CrashPoint.DISPATCHED), context.engine.begin() as conn:
        return dispatch.take(
            conn,
            due,
            now=now,
            wall=wall,
            again_at=again_at,
            held_until=wall + context.policy.longest_hold,
            limit=limit,
        )
